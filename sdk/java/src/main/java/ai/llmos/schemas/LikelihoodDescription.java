// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Default;
import ai.llmos.json.Lenient;
import ai.llmos.json.Nullable;
import ai.llmos.json.Required;
import java.util.List;
import java.util.Map;

/**
 * The answer of POST /llmos/v1/likelihood.
 *
 * @param model The model name in the request: a route or a model.
 * @param version The version that answered, such as smollm2&#64;1.
 * @param bestIndex The index of the most probable option (the first of equal ones); null without continuations.
 * @param prompt null unless the request has <code>score_prompt</code>.
 */
@Lenient
public record LikelihoodDescription(
        @Required String id,
        @Default("\"likelihood\"") String object,
        @Required long created,
        @Required String model,
        @Required String version,
        @Nullable String digest,
        @Nullable Long bestIndex,
        @Required List<OptionLikelihood> options,
        @Nullable Map<String, Object> prompt,
        @Required LikelihoodUsage usage) {
    /** Returns the most probable option. Throws an IndexOutOfBoundsException if there are none. */
    public OptionLikelihood best() {
        return options.get(bestIndex == null ? -1 : bestIndex.intValue());
    }
}
