// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Lenient;
import java.util.List;

/**
 * The JSON object QueryDescription.
 *
 * @param isCut There are more rows, which are left out because of the requested limit.
 */
@Lenient
public record QueryDescription(
        List<String> columns,
        List<List<Object>> rows,
        boolean isCut) {}
