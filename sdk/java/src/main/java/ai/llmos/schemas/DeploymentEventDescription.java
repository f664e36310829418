// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Lenient;
import ai.llmos.json.Nullable;
import java.time.Instant;
import java.util.Map;

/**
 * One thing that happened to a Deployment.
 *
 * @param kind <code>deployed</code>, <code>changed</code>, <code>slept</code>, <code>woken</code>, <code>scaled</code>, <code>ready</code>, <code>pending</code>, <code>died</code>, <code>failed</code> or <code>removed</code>.
 * @param actor The key, user or part of the server that caused it; null in events from before this was recorded.
 */
@Lenient
public record DeploymentEventDescription(
        @Nullable Instant at,
        String kind,
        @Nullable String actor,
        String reason,
        Map<String, Object> data) {}
