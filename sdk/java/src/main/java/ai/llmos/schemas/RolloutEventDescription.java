// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Lenient;
import ai.llmos.json.Nullable;
import java.time.Instant;
import java.util.Map;

/**
 * The JSON object RolloutEventDescription.
 *
 * @param kind <code>began</code>, <code>stepped</code>, <code>finished</code>, <code>rolled_back</code>, <code>superseded</code> or <code>stopped</code>.
 * @param actor The key, user or part of the server that caused it; null in events from before this was recorded.
 */
@Lenient
public record RolloutEventDescription(
        @Nullable Instant at,
        String kind,
        @Nullable String actor,
        String reason,
        Map<String, Object> data) {}
