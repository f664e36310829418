// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Default;
import ai.llmos.json.Lenient;
import java.util.List;

/**
 * A sentence of an answer out of documents.
 *
 * @param citations The places that it rests on, the one that matters most first.
 * @param isSupported It rests on a passage, or on what a tool returned.
 */
@Lenient
public record Sentence(
        String text,
        List<Citation> citations,
        @Default("true") boolean isSupported) {}
