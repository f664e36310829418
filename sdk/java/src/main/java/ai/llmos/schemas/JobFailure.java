// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Lenient;
import ai.llmos.json.Nullable;

/**
 * The JSON object JobFailure.
 *
 * @param code A code of the table of errors, or <code>interrupted</code>.
 * @param message The problem, and what to do about it.
 * @param param The field of the request that is wrong, if one is.
 */
@Lenient
public record JobFailure(
        String code,
        String message,
        @Nullable String param) {}
