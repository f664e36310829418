// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Lenient;
import ai.llmos.json.Nullable;
import java.time.Instant;
import java.util.List;
import java.util.Map;

/**
 * The JSON object DatasetDetails.
 *
 * @param version NAME&#64;NUMBER.
 * @param kind chat, preference, case or text.
 * @param contentBytes The bytes of all contents, uncompressed.
 * @param sizeBytes Bytes on disk, some of which may be shared with other Versions.
 * @param parents The digests of the Versions that it was made from.
 * @param recipe The recipe by which it was made from its parents.
 * @param report The counts made while it was written, such as skipped lines, or dropped rows by operator and reason.
 * @param aliases The aliases that point at this Version.
 * @param madeFrom The references of the parents, or their digests where they are unknown.
 */
@Lenient
public record DatasetDetails(
        String name,
        String version,
        String digest,
        String kind,
        long numRows,
        long contentBytes,
        long sizeBytes,
        @Nullable String license,
        String source,
        List<String> parents,
        @Nullable Map<String, Object> recipe,
        Map<String, Object> report,
        @Nullable String madeBy,
        @Nullable String description,
        Map<String, String> tags,
        @Nullable String datasetDescription,
        Map<String, String> datasetTags,
        @Nullable Instant createdAt,
        List<String> versions,
        List<String> aliases,
        List<String> madeFrom,
        long numSegments) {}
