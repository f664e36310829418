// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Default;
import ai.llmos.json.Lenient;
import ai.llmos.json.Nullable;
import java.time.Instant;
import java.util.List;
import java.util.Map;

/**
 * The JSON object EvalRunDetails.
 *
 * @param source The Version of the dataset with the cases; empty for a file.
 * @param job The job that runs it on a server.
 * @param numDone The number of answers so far.
 * @param numTotal The number of answers when the run has finished.
 * @param cases Each case of each model, in the order of the suite.
 */
@Lenient
public record EvalRunDetails(
        String id,
        String project,
        String suite,
        String suiteDigest,
        String source,
        @Default("\"unfinished\"") String state,
        @Nullable String job,
        List<String> models,
        @Default("1") long numRepeats,
        long numCases,
        long numDone,
        long numTotal,
        @Nullable String verdict,
        List<Map<String, Object>> results,
        @Nullable EvalComparisonDescription comparison,
        List<Map<String, Object>> gates,
        List<Map<String, Object>> judges,
        @Nullable String actor,
        @Nullable Instant createdAt,
        @Nullable Instant endedAt,
        List<Map<String, Object>> cases) {
    /** Returns 0 for passed, 4 for a failed gate, 5 for undecided, and 1 if nothing could be asked. */
    public int exitStatus() {
        return switch (verdict == null ? "" : verdict) {
            case "passed" -> 0;
            case "failed" -> 4;
            case "undecided" -> 5;
            default -> 1;
        };
    }
}
