// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Lenient;
import ai.llmos.json.Nullable;
import java.util.Map;

/**
 * The JSON object SearchHit.
 *
 * @param text The quote with the headings above it, and with the header of its table: what a model should read.
 * @param score Hits are in the order of this score. With a reranker it is the reranker's.
 * @param cosine The similarity of the vectors of the query and the chunk; null: its vector was not among the nearest.
 * @param bm25 The score of the words; null: it has none of them.
 * @param metadata That of the document.
 */
@Lenient
public record SearchHit(
        String text,
        double score,
        @Nullable Double cosine,
        @Nullable Double bm25,
        Citation citation,
        Map<String, Object> metadata) {}
