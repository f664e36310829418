// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Lenient;
import java.util.List;

/**
 * A model that <code>llmos pull</code> knows by name.
 *
 * @param template <code>own</code>: its files have a chat template. <code>none</code>: it doesn't chat.
 * @param downloadBytes The size of the download from the first source.
 * @param sources The sources, in the order in which they are tried.
 * @param here A Version of it is stored.
 */
@Lenient
public record CatalogEntryDescription(
        String name,
        String description,
        String license,
        String template,
        long downloadBytes,
        List<String> sources,
        boolean here) {}
