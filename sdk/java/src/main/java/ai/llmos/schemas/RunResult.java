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
 * @param output An object of the app's type of answers; without one, the text.
 * @param sentences Those of an answer out of documents.
 * @param notes What whoever reads the answer should know.
 * @param cost What its calls of models cost, in billionths of the currency; null where nothing has a price.
 * @param session The name of its session.
 * @param abstained The documents don't answer this, and the app said so.
 * @param handoff The id of the handoff in the queue, or what the application's function for handoffs returned.
 * @param finishReason <code>stop</code>, or <code>length</code> if the text was cut at max_tokens.
 * @param waitsWith What the person who decides must know.
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
