// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Lenient;
import ai.llmos.json.Nullable;

/**
 * The consumption of a run.
 *
 * @param numCalls The number of calls of models.
 * @param cost The cost in billionths of the currency; null if no price applies, or prices in several currencies apply.
 */
@Lenient
public record RunUsage(
        long numCalls,
        long promptTokens,
        long completionTokens,
        long cachedTokens,
        @Nullable Long cost,
        String currency) {}
