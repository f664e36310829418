package ai.llmos;

import ai.llmos.errors.LLMOSException;
import ai.llmos.json.Binding;
import ai.llmos.json.Json;
import ai.llmos.json.JsonException;
import java.lang.reflect.Type;
import java.util.List;

/**
 * A complete answer of a model.
 *
 * @param model the name that was asked for: a route or a model
 * @param version the version that produced the answer, such as {@code smollm2@1}
 * @param finishReason {@code stop}: the model ended the answer or generated a stop string; {@code length}: it reached maxTokens or
 *     the context length; {@code tool_calls}: it wants to call functions
 * @param reasoning the text that the model generated as its reasoning, if its template marks it
 * @param warnings the faults of tool calls whose arguments don't follow the schema of their function
 */
public record Answer(
        String id,
        String text,
        String model,
        String version,
        String finishReason,
        Usage usage,
        String reasoning,
        List<ToolCall> toolCalls,
        List<String> warnings) {

    /** Returns the answer as a message, to send with the next call. */
    public Message message() {
        return new Message("assistant", text, reasoning, toolCalls, null);
    }

    /**
     * Returns the text, decoded as JSON.
     *
     * @throws ai.llmos.json.JsonException if it is no JSON, for example when maxTokens cut it
     */
    public Object json() {
        return Json.read(text);
    }

    /**
     * Returns the text, read as a value of a class, such as the record that was given to {@link CallOptions#format(Type)}.
     *
     * @throws LLMOSException if it is none, for example because maxTokens cut it
     */
    @SuppressWarnings("unchecked")
    public <T> T as(Class<T> type) {
        return (T) as((Type) type);
    }

    /** Returns the text, read as a value of a type. Throws an LLMOSException that says why it is none. */
    public Object as(Type type) {
        try {
            return Binding.read(json(), type);
        } catch (JsonException error) {
            var reason = finishReason.equals("length")
                    ? "The answer was cut at " + usage.completionTokens() + " tokens, before its JSON was complete. Set a larger maxTokens."
                    : "The answer is no " + type.getTypeName() + ": " + error.getMessage();
            throw new LLMOSException(LLMOSException.Facts.local("wrong_output", reason));
        }
    }
}
