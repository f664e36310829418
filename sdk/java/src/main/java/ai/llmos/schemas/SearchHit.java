// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Lenient;
import ai.llmos.json.Nullable;
import java.util.Map;

/**
 * The JSON object SearchHit.
 *
 * @param text The text for a model to read: the quote, with the headings above it and the header of its table.
 * @param score The score that hits are sorted by; with a reranker, the reranker's score.
 * @param cosine The similarity of the vectors of the query and the chunk; null if the chunk's vector isn't among the nearest.
 * @param bm25 The score of the words of the query in the chunk; null if it has none of them.
 * @param metadata The metadata of the document.
 */
@Lenient
public record SearchHit(
        String text,
        double score,
        @Nullable Double cosine,
        @Nullable Double bm25,
        Citation citation,
        Map<String, Object> metadata) {}
