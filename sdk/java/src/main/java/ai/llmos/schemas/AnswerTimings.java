// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Lenient;
import ai.llmos.json.Nullable;

/**
 * Seconds, by stage. A stage that there was not took 0.
 *
 * @param guardrails The prompt was screened.
 * @param load Until the model was loaded.
 * @param queue Then until the prompt was a part of a batch.
 * @param prefill Then until the first token.
 * @param decode Then until the last token.
 * @param firstToken From the acceptance of the call to its first token; null where nothing was generated.
 * @param replica The time that is charged: that of a replica of this installation.
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
