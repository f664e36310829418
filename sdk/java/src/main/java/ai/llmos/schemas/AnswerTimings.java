// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Lenient;
import ai.llmos.json.Nullable;

/**
 * The duration of each stage of a call, in seconds. A stage that the call didn't have is 0.
 *
 * @param guardrails Screening of the prompt by guardrails.
 * @param load The wait until the model was loaded.
 * @param queue From then until the prompt entered a batch.
 * @param prefill From then until the first token.
 * @param decode From then until the last token.
 * @param firstToken From the acceptance of the call to its first token; null where nothing was generated.
 * @param replica The time on a replica of this installation, which prices per second apply to.
 */
@Lenient
public record AnswerTimings(
        double guardrails,
        double load,
        double queue,
        double prefill,
        double decode,
        @Nullable Double firstToken,
        double total,
        double replica) {}
