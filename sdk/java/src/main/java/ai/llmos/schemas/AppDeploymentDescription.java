// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Lenient;
import ai.llmos.json.Nullable;
import java.time.Instant;

/**
 * An application that is deployed, and the process that serves it.
 *
 * @param version The version that was deployed, such as support&#64;3.
 * @param state starting, ready, failed (it is restarted in a moment), stopped, or unknown if no server runs it.
 * @param serving The version that answers now: the previous one while <code>version</code> is starting, or if it can't start.
 * @param reason The reason that it isn't ready; null if it is.
 * @param restarts The number of times that its process was restarted because it had ended unexpectedly, since the deployment.
 * @param numRuns The number of runs in progress.
 * @param isIsolated The process is isolated: it can't see the server's files and processes.
 * @param since The time at which it entered this state.
 * @param candidate The version that is taking over in steps; see <code>llmos app releases</code>.
 * @param candidatePercent The percentage of the callers that the candidate answers.
 * @param candidateState The state of the candidate, with the same values as <code>state</code>.
 */
@Lenient
public record AppDeploymentDescription(
        String app,
        String version,
        String state,
        @Nullable String serving,
        @Nullable String reason,
        @Nullable Long pid,
        long restarts,
        long numRuns,
        boolean isIsolated,
        @Nullable Instant since,
        @Nullable String candidate,
        double candidatePercent,
        @Nullable String candidateState,
        @Nullable String candidateReason,
        @Nullable Instant deployedAt,
        @Nullable String deployedBy) {}
