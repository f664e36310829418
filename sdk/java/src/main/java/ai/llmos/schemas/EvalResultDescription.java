// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Default;
import ai.llmos.json.Lenient;
import java.util.List;
import java.util.Map;

/**
 * The result of one model.
 *
 * @param versions The versions that answered.
 * @param share The number of cases with an answer that pass.
 * @param rate The mean over cases of the share of their repeats that pass.
 */
@Lenient
public record EvalResultDescription(
        String model,
        List<String> versions,
        long numCases,
        long numPassed,
        long numFailed,
        long numErrors,
        double share,
        double low,
        @Default("1.0") double high,
        double rate,
        Map<String, Object> baseline,
        long numInputTokens,
        long numOutputTokens,
        String cost,
        String currency) {}
