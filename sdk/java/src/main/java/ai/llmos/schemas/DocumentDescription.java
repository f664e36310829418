// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Default;
import ai.llmos.json.Lenient;
import ai.llmos.json.Nullable;
import java.util.Map;

/**
 * A document of a Version.
 *
 * @param digest sha256:&lt;hex&gt; of the file.
 * @param format pdf, docx, html, markdown, text, csv or xlsx.
 * @param numBytes The size of the file.
 * @param kept The share of the file's letters and digits that the index contains, from 0 to 1.
 * @param subject The person that the document is about, as a keyed hash.
 */
@Lenient
public record DocumentDescription(
        String name,
        String digest,
        String format,
        long numBytes,
        long numChunks,
        @Default("1.0") double kept,
        Map<String, Object> metadata,
        @Nullable String subject) {}
