// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Lenient;
import ai.llmos.json.Nullable;
import java.time.Instant;
import java.util.List;
import java.util.Map;

/**
 * A Version that is deployed, or that the server runs.
 *
 * @param state <code>loading</code>, <code>ready</code>, <code>stuck</code>, <code>pending</code>, <code>failed</code>, <code>stopped</code> or <code>asleep</code>.
 * @param reason The reason that it can't answer at once; null if it can.
 * @param percentLoaded The progress of the replica that finishes loading next; null if none is loading.
 * @param secondsLeft The time until that replica is loaded; null if unknown.
 * @param wanted The settings that it was deployed with; null if it was loaded on demand.
 * @param since The time at which it entered this state.
 * @param error The reason that it failed or is being restarted.
 * @param load The sum of the loads of its replicas.
 */
@Lenient
public record DeploymentDescription(
        String version,
        String state,
        @Nullable String reason,
        long replicasReady,
        long replicasWanted,
        List<Map<String, Object>> replicas,
        @Nullable Double percentLoaded,
        @Nullable Double secondsLeft,
        @Nullable Map<String, Object> wanted,
        @Nullable Long pid,
        long restarts,
        @Nullable Instant since,
        @Nullable String error,
        @Nullable Map<String, Object> load,
        @Nullable Map<String, Object> ready) {}
