// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Lenient;
import java.util.List;
import java.util.Map;

/**
 * The result of an import, before it is made.
 *
 * @param rows The first two rows.
 * @param leftOut The names of the columns that the import leaves out.
 * @param problems The problems of bad lines among the first hundred.
 */
@Lenient
public record PreviewDescription(
        String shape,
        String title,
        String kind,
        List<Map<String, Object>> rows,
        List<String> leftOut,
        long numFiles,
        long numBytes,
        List<String> problems) {}
