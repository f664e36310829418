// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Lenient;
import ai.llmos.json.Nullable;
import java.util.List;
import java.util.Map;

/**
 * The outcomes of a Route's calls that the server remembers: the last 4,096 of each target since it started.
 */
@Lenient
public record RouteEvidence(
        List<TargetEvidence> targets,
        @Nullable Map<String, Object> shadow) {}
