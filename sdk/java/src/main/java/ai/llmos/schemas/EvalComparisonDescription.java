// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Default;
import ai.llmos.json.Lenient;
import ai.llmos.json.Nullable;
import java.util.List;
import java.util.Map;

/**
 * Two models on the same cases.
 *
 * @param verdict The verdict on the first model.
 * @param pValue The p-value of the exact McNemar test.
 * @param numNeeded The number of cases that would decide an undecided comparison if further cases had the same results as these.
 * @param measures The agreement of the two models' answers, and comparisons of their seconds, tokens and cost.
 */
@Lenient
public record EvalComparisonDescription(
        String first,
        String second,
        @Default("\"undecided\"") String verdict,
        @Default("0.05") double notWorseBy,
        double difference,
        @Default("-1.0") double low,
        @Default("1.0") double high,
        @Default("1.0") double pValue,
        long both,
        long onlyFirst,
        long onlySecond,
        long neither,
        @Nullable Long numNeeded,
        String sentence,
        List<Map<String, Object>> measures) {}
