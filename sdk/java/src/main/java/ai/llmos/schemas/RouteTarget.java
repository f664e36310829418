// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Default;
import ai.llmos.json.Lenient;

/**
 * The JSON object RouteTarget.
 *
 * @param target The reference of a model, or remote:PROVIDER/MODEL.
 * @param percent The percentage of the calls that the target gets. The percentages of a Route's targets add up to 100.
 */
@Lenient
public record RouteTarget(
        String target,
        @Default("100.0") double percent) {}
