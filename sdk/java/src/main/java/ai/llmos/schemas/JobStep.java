// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Lenient;
import ai.llmos.json.Nullable;

/**
 * The progress of one part of a job, such as a file.
 *
 * @param numTotal null if unknown.
 */
@Lenient
public record JobStep(
        String label,
        long numDone,
        @Nullable Long numTotal) {}
