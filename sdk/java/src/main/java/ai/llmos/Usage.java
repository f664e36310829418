package ai.llmos;

import ai.llmos.json.Nullable;

/**
 * The tokens of one call, as the server counted them.
 *
 * @param cachedTokens prompt tokens that an earlier prompt with the same prefix had already computed
 * @param cost what it costs, as a decimal; null where no price applies
 */
public record Usage(
        long promptTokens, long completionTokens, long totalTokens, long cachedTokens, @Nullable String cost, String currency) {}
