// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Lenient;
import ai.llmos.json.Nullable;
import java.time.Instant;

/**
 * One move of an alias; the last one says where it points.
 *
 * @param name MODEL:ALIAS.
 * @param was The Version that it pointed at before.
 * @param now The Version that it pointed at afterwards; null if the alias was removed.
 */
@Lenient
public record AliasMoveDescription(
        String name,
        String model,
        String alias,
        @Nullable String was,
        @Nullable String now,
        @Nullable Instant at,
        @Nullable String by) {}
