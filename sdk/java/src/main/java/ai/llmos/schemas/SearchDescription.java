// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Default;
import ai.llmos.json.Lenient;
import ai.llmos.json.Nullable;
import java.util.List;

/**
 * The answer of a search.
 *
 * @param mode The mode of this search.
 * @param answerable True if the Version probably has an answer, by its threshold; null if it has no threshold.
 * @param measure The value that is compared with the threshold.
 * @param evaluated The Version whose evaluation set the threshold: this one, or an earlier one with the same embedding model.
 * @param notes Limitations of this search, in sentences, such as a part of the request that was ignored.
 */
@Lenient
public record SearchDescription(
        String version,
        @Default("\"hybrid\"") String mode,
        List<SearchHit> hits,
        @Nullable Boolean answerable,
        @Nullable Double threshold,
        @Nullable Double measure,
        @Nullable String evaluated,
        List<String> notes) {}
