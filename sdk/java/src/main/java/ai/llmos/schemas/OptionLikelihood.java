// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Lenient;
import ai.llmos.json.Required;
import java.util.List;
import java.util.Map;

/**
 * A continuation of the request.
 *
 * @param index Its position in the request.
 * @param logprob The sum over its tokens.
 * @param normalizedLogprob The sum, divided as <code>normalize</code> says.
 * @param probability The probability among the options: the softmax of their normalized log probabilities.
 */
@Lenient
public record OptionLikelihood(
        @Required long index,
        @Required String text,
        @Required double logprob,
        @Required double normalizedLogprob,
        @Required double probability,
        @Required List<Map<String, Object>> tokens) {}
