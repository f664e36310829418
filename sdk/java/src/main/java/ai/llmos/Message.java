package ai.llmos;

import ai.llmos.json.Nullable;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A message of a conversation.
 *
 * @param role system, user, assistant or tool
 * @param content a text, or a list of parts as OpenAI's format has them
 * @param reasoning the model's reasoning before an answer; empty without one
 * @param toolCalls the calls that an answer asks for
 * @param toolCallId the call that a tool's message is the result of
 */
public record Message(String role, @Nullable Object content, String reasoning, List<ToolCall> toolCalls, @Nullable String toolCallId) {
    /** Makes one of all its parts. */
    public Message {
        reasoning = reasoning == null ? "" : reasoning;
        toolCalls = toolCalls == null ? List.of() : List.copyOf(toolCalls);
    }

    /** Returns an instruction for the whole conversation. */
    public static Message system(String text) {
        return new Message("system", text, "", List.of(), null);
    }

    /** Returns what a person says. */
    public static Message user(String text) {
        return new Message("user", text, "", List.of(), null);
    }

    /** Returns what a model has answered. An answer is this with {@link Answer#message}. */
    public static Message assistant(String text) {
        return new Message("assistant", text, "", List.of(), null);
    }

    /** Returns the result of a call that the answer before asks for. */
    public static Message tool(String toolCallId, String result) {
        return new Message("tool", result, "", List.of(), toolCallId);
    }

    /** Returns it as the server takes it. */
    public Map<String, Object> toMap() {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("role", role);
        if (toolCallId != null) {
            map.put("tool_call_id", toolCallId);
        }
        map.put("content", content);
        if (!reasoning.isEmpty()) {
            map.put("reasoning_content", reasoning);
        }
        if (!toolCalls.isEmpty()) {
            map.put("tool_calls", toolCalls.stream().map(ToolCall::toMap).toList());
        }
        return map;
    }

    /** Returns messages as the server takes them. */
    public static List<Map<String, Object>> toMaps(List<Message> messages) {
        return messages.stream().map(Message::toMap).toList();
    }
}
