// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Lenient;
import ai.llmos.json.Nullable;
import java.time.Instant;

/**
 * An application that is deployed, and the process that serves it.
 *
 * @param version The version that is wanted, such as support&#64;3.
 * @param state starting, ready, failed (it is started again in a moment), stopped, or unknown where no server runs it.
 * @param serving The version that answers now: another one while a new one starts, or can't.
 * @param reason Why it isn't ready.
 * @param restarts How often its process has ended by itself since it was deployed.
 * @param numRuns The runs that its process has now.
 * @param isIsolated Its process can't see the server's files and processes.
 * @param since The time at which it entered this state.
 * @param candidate The version that takes over in steps; see <code>llmos app releases</code>.
 * @param candidatePercent The share of the callers that it answers.
 * @param candidateState As <code>state</code>.
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
