// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Lenient;
import ai.llmos.json.Nullable;
import java.util.Map;

/**
 * The JSON object LabelsDescription.
 *
 * @param tags The values of tags by key; empty for a tag without a value.
 */
@Lenient
public record LabelsDescription(
        @Nullable String description,
        Map<String, String> tags) {}
