// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Lenient;
import ai.llmos.json.Nullable;
import java.time.Instant;
import java.util.List;
import java.util.Map;

/**
 * All that is known of one call.
 *
 * @param at The time at which the call was accepted.
 * @param user The end user that the request named; empty if it named none, or if the person's data were erased.
 * @param asked The model name in the request: a route or a model.
 * @param version The version that answered, such as smollm2&#64;1 or remote:PROVIDER/MODEL.
 * @param app The application whose process made the call.
 * @param run The run of an application that the call was a part of, or that gave the answer.
 * @param operation generate, embed or rate.
 * @param outcome answered, blocked (by a guardrail), cached, cancelled (the caller hung up), failed or refused.
 * @param error The code of the error.
 * @param verdict The strictest verdict of the guardrails: flag, redact or block; empty if they found nothing.
 * @param numAttempts The number of targets of the route that were tried.
 * @param cachedInputTokens The part of <code>input_tokens</code> that was found in the prefix cache.
 * @param cost As a decimal; null where no price applied.
 * @param excerpt In results of a search: the text around the first word that was found.
 * @param charges The entries of the ledger for this call: the counted usage and its cost.
 * @param providerCalls The attempts at providers and their costs, for callers who may see every project.
 * @param receipt Null if no receipt was made, or if it isn't stored any more.
 * @param isReceiptValid True if the receipt has a valid signature of this installation; null without a receipt.
 * @param feedback Newest first, for callers of the same project who may read feedback.
 * @param text Null unless the response is stored and the caller, of the same project, may read it.
 */
@Lenient
public record AnswerDetails(
        String id,
        String requestId,
        @Nullable Instant at,
        String project,
        String keyId,
        String user,
        String asked,
        String route,
        String version,
        String app,
        String run,
        String operation,
        String outcome,
        String error,
        String verdict,
        long numAttempts,
        long inputTokens,
        long cachedInputTokens,
        long outputTokens,
        @Nullable String cost,
        String currency,
        @Nullable Long priceVersion,
        AnswerTimings timings,
        String excerpt,
        List<Map<String, Object>> charges,
        List<Map<String, Object>> providerCalls,
        @Nullable Map<String, Object> receipt,
        @Nullable Boolean isReceiptValid,
        List<Map<String, Object>> feedback,
        @Nullable Map<String, Object> text) {}
