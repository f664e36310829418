// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Lenient;
import ai.llmos.json.Nullable;

/**
 * The consumption of a run.
 *
 * @param numCalls Calls of the model.
 * @param cost In billionths of the currency; None where nothing has a price, or prices of several currencies applied.
 */
@Lenient
public record RunUsage(
        long numCalls,
        long promptTokens,
        long completionTokens,
        long cachedTokens,
        @Nullable Long cost,
        String currency) {}
