// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Default;
import ai.llmos.json.Lenient;
import ai.llmos.json.Nullable;
import java.time.Instant;
import java.util.List;
import java.util.Map;

/**
 * The JSON object KnowledgeDetails.
 *
 * @param version NAME&#64;NUMBER.
 * @param sizeBytes Bytes on disk, some of which may be shared with other Versions.
 * @param embedding The Version of the model that makes the vectors, such as minilm&#64;1.
 * @param dimensions The length of the vectors; 0 if there are no vectors.
 * @param recipe The rules by which documents are cut into chunks: max_tokens, overlap_tokens and the version of the rules.
 * @param report Counts from the making of the Version, such as documents that couldn't be read.
 * @param aliases The aliases that point at this Version.
 * @param mode The default mode of searches: hybrid, unless an evaluation found another mode better.
 */
@Lenient
public record KnowledgeDetails(
        String name,
        String version,
        String digest,
        long numDocuments,
        long numChunks,
        long sizeBytes,
        String embedding,
        String embeddingDigest,
        long dimensions,
        Map<String, Object> recipe,
        Map<String, Object> report,
        @Nullable String madeBy,
        @Nullable String description,
        Map<String, String> tags,
        @Nullable String knowledgeDescription,
        Map<String, String> knowledgeTags,
        @Nullable Instant createdAt,
        List<String> versions,
        List<String> aliases,
        @Default("\"hybrid\"") String mode) {}
