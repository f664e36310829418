// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Lenient;
import ai.llmos.json.Nullable;

/**
 * The JSON object JobFailure.
 *
 * @param code A code from the table of errors, or <code>interrupted</code>.
 * @param message The problem and its remedy.
 * @param param The field of the request that is wrong; null if it isn't about a field.
 */
@Lenient
public record JobFailure(
        String code,
        String message,
        @Nullable String param) {}
