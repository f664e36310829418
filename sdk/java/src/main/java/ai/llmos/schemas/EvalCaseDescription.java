// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Default;
import ai.llmos.json.Lenient;
import ai.llmos.json.Required;
import java.util.List;
import java.util.Map;

/**
 * The JSON object EvalCaseDescription.
 *
 * @param state failed: at least one of its repeats failed. error: none of them has an answer to judge.
 * @param numTries The repeats that have an answer to judge.
 * @param low The interval of 95 % of the share of repeats that pass.
 * @param reason The fault of the first answer that doesn't pass.
 */
@Lenient
public record EvalCaseDescription(
        @Required String id,
        String model,
        @Default("\"error\"") String state,
        long numPassed,
        long numTries,
        double low,
        @Default("1.0") double high,
        String reason,
        List<Map<String, Object>> answers) {}
