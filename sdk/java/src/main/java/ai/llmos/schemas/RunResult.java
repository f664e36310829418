// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.schemas;

import ai.llmos.json.Lenient;
import ai.llmos.json.Nullable;
import java.util.List;
import java.util.Map;

/**
 * A run that has ended with an answer, or that waits.
 *
 * @param state succeeded, waiting or ready.
 * @param output The answer as an object of the application's answer type; without a type, the text.
 * @param sentences The sentences of an answer from documents; otherwise empty.
 * @param notes Remarks for the reader of the answer.
 * @param cost The cost of its calls of models, in billionths of the currency; null if no price applies.
 * @param session The name of the session.
 * @param abstained The documents don't answer the question, and the application said so.
 * @param handoff The id of the handoff in the queue, or the value that the application's function for handoffs returned.
 * @param finishReason <code>stop</code>, or <code>length</code> if the text ended at max_tokens.
 * @param waitsFor The name of the signal that the run waits for, such as an approval.
 * @param waitsWith The information for the person who decides about the signal.
 */
@Lenient
public record RunResult(
        String id,
        String app,
        String state,
        String text,
        @Nullable Object output,
        List<Map<String, Object>> sentences,
        List<String> notes,
        List<Map<String, Object>> steps,
        RunUsage usage,
        @Nullable Long cost,
        String currency,
        @Nullable String session,
        @Nullable Map<String, Object> leftOut,
        boolean abstained,
        @Nullable Object handoff,
        String finishReason,
        @Nullable String waitsFor,
        @Nullable Object waitsWith) {
    /** Returns the answer as a value of a record, or of another type that JSON is read as. */
    public <T> T as(Class<T> type) {
        return ai.llmos.json.Binding.read(output, type);
    }
}
