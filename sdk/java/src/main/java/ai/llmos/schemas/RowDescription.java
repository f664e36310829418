// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Lenient;
import ai.llmos.json.Nullable;
import java.util.Map;

/**
 * The JSON object RowDescription.
 *
 * @param id The SHA-256 of the content's canonical JSON.
 * @param origin FILE:LINE.
 * @param consent train, eval or none; null if unknown.
 * @param subject The person that the row is about, as a keyed hash.
 */
@Lenient
public record RowDescription(
        String id,
        String kind,
        Map<String, Object> content,
        @Nullable String origin,
        @Nullable String language,
        @Nullable String license,
        @Nullable String consent,
        @Nullable String subject,
        @Nullable String split) {}
