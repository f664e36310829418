// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Lenient;
import ai.llmos.json.Nullable;
import ai.llmos.json.Required;
import java.util.Map;

/**
 * The JSON object LikelihoodUsage.
 *
 * @param promptTokens The tokens of the prompt, once, and of all continuations.
 * @param computedTokens The tokens that went through the model. The last token of a continuation isn't computed, because nothing after it is scored, and continuations with a common beginning share it.
 * @param cost The cost, as a decimal text. Absent if no price applies.
 */
@Lenient
public record LikelihoodUsage(
        @Required long promptTokens,
        @Required long totalTokens,
        @Required Map<String, Object> promptTokensDetails,
        @Required long computedTokens,
        @Nullable String cost,
        @Nullable String currency) {}
