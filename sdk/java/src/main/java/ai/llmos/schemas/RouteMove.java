// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Lenient;
import ai.llmos.json.Nullable;
import java.time.Instant;
import java.util.Map;

/**
 * A change of a Route.
 *
 * @param before targets, fallbacks, shadow, sticky, timeout_seconds, cache; null if the Route didn't exist.
 * @param after null if it was removed.
 */
@Lenient
public record RouteMove(
        @Nullable Instant movedAt,
        @Nullable String movedBy,
        @Nullable String reason,
        @Nullable Map<String, Object> before,
        @Nullable Map<String, Object> after) {}
