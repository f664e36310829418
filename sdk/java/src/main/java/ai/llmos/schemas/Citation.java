// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Lenient;
import ai.llmos.json.Nullable;
import java.util.List;

/**
 * A passage of a document. It can be looked up as long as the Version exists.
 *
 * @param knowledge The Version, such as faq&#64;7.
 * @param digest sha256:&lt;hex&gt; of the document's file.
 * @param heading The headings above the passage, the highest level first.
 * @param start The position of the passage in the document's text, in characters.
 * @param quote The text from <code>start</code> to <code>end</code>.
 */
@Lenient
public record Citation(
        String knowledge,
        String document,
        String digest,
        @Nullable Long page,
        List<String> heading,
        long start,
        long end,
        String quote) {}
