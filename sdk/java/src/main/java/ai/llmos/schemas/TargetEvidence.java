// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Default;
import ai.llmos.json.Lenient;
import ai.llmos.json.Nullable;
import java.util.Map;

/**
 * The outcomes of a target's calls.
 *
 * @param isWhole True if the numbers cover every call of the window; false if the oldest were dropped.
 * @param numRefused The number of calls that failed because of a mistake of the caller.
 * @param errors The number of failed calls by error code.
 * @param errorRate The number of failed calls divided by the number of answered and failed calls.
 * @param tokensPerSecond The speed after the first token, in answers with at least 9 tokens. The mean is over all their tokens.
 * @param numTimedTokens The number of tokens that tokens_per_second was measured with.
 */
@Lenient
public record TargetEvidence(
        String target,
        @Default("true") boolean isWhole,
        long numCalls,
        long numAnswered,
        long numFailed,
        long numRefused,
        long numCancelled,
        Map<String, Long> errors,
        @Nullable Double errorRate,
        @Nullable Spread seconds,
        @Nullable Spread firstTokenSeconds,
        @Nullable Spread tokensPerSecond,
        long numTimedTokens) {}
