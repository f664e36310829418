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
 * @param at When it was accepted.
 * @param user The project's own end user; empty where the request named none, or the person was erased.
 * @param asked The name that was asked for.
 * @param version What answered, such as smollm2&#64;1 or remote:PROVIDER/MODEL.
 * @param app The application whose process called.
 * @param run The run of an application that gave it, or that the call was a part of.
 * @param operation generate, embed or rate.
 * @param outcome answered, blocked (by a guardrail), cached, cancelled (the caller hung up), failed or refused.
 * @param error The code of the error.
 * @param verdict The strictest verdict of its guardrails: flag, redact or block.
 * @param numAttempts Targets of the route that were tried.
 * @param cachedInputTokens Those of them that were found in the prefix cache.
 * @param cost As a decimal; null where no price applied.
 * @param excerpt The text around the first word that was searched for.
 * @param charges Its entries in the ledger: what was counted and charged.
 * @param providerCalls What its attempts at providers cost there, for those who may see every project.
 * @param receipt Null where none was made, or it isn't kept any more.
 * @param isReceiptValid Whether this installation has signed it as it is.
 * @param feedback The newest first, for callers of its project that may read feedback.
 * @param text Where the response is stored, for callers of its project that may read it.
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
