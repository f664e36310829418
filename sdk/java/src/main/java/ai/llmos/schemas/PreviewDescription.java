// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Lenient;
import java.util.List;
import java.util.Map;

/**
 * The result that an import would have.
 *
 * @param rows The first two.
 * @param leftOut The columns that aren't kept.
 * @param problems The bad lines among the first hundred.
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
