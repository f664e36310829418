// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Default;
import ai.llmos.json.Lenient;
import ai.llmos.json.Nullable;
import java.time.Instant;
import java.util.List;
import java.util.Map;

/**
 * A Version that takes over a Route step by step.
 *
 * @param state <code>starting</code>, <code>running</code>, <code>finished</code>, <code>rolled_back</code>, <code>superseded</code> or <code>stopped</code>.
 * @param percent The percentage of the Route's calls that the Version gets now.
 * @param step The index into <code>steps</code>; -1 while it is starting.
 * @param before The Route's targets and weights before it began.
 * @param reason The reason for its state, with figures.
 */
@Lenient
public record RolloutDescription(
        long id,
        String route,
        String version,
        String state,
        double percent,
        @Default("-1") long step,
        List<Double> steps,
        String gate,
        long minCalls,
        @Nullable Long maxHoldSeconds,
        long numCases,
        Map<String, Double> before,
        Map<String, Double> baseline,
        Map<String, Double> scores,
        String reason,
        @Nullable String begunBy,
        @Nullable Instant stepBeganAt,
        @Nullable Instant createdAt,
        @Nullable Instant endedAt) {}
