// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Lenient;
import ai.llmos.json.Nullable;
import java.time.Instant;
import java.util.List;

/**
 * A name that callers ask for, and the models that answer.
 *
 * @param target The target that gets most of the calls: the reference of a model, or remote:PROVIDER/MODEL.
 * @param version The Version that <code>target</code> names now; null if there is none.
 * @param missing Targets, fallbacks and shadows that don't exist.
 * @param fallbacks Tried in this order when a target fails before its first token.
 * @param shadow A target that also runs a share of the calls, to compare.
 * @param sticky <code>user</code>, <code>caller</code> (the API key) or <code>none</code>: the calls of one user or caller always go to the same target.
 * @param timeoutSeconds The time limit for the first token of a stream, or for a whole answer that isn't streamed.
 * @param cache The response cache is on: the same request of a project gets the stored answer, if sampling is deterministic.
 */
@Lenient
public record RouteDescription(
        String name,
        String target,
        @Nullable String version,
        List<String> missing,
        List<RouteTarget> targets,
        List<String> fallbacks,
        @Nullable RouteTarget shadow,
        String sticky,
        @Nullable Double timeoutSeconds,
        boolean cache,
        @Nullable Instant updatedAt) {}
