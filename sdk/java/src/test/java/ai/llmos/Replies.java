package ai.llmos;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Replies of a server, for tests. */
final class Replies {
    static final Map<String, Object> USAGE = Map.of("prompt_tokens", 5, "completion_tokens", 2, "total_tokens", 7);
    static final Map<String, Object> MODEL = Map.of("name", "smollm2", "version", "smollm2@1", "family", "llama", "context_length", 8192);
    static final Map<String, Object> GENERATED = Map.of("id", "answer-1", "text", "Hello there", "finish_reason", "stop", "usage", USAGE,
            "version", "smollm2@1", "object", "answer", "model", "dialogue");

    private Replies() {}

    static Map<String, Object> piece(String text) {
        return Map.of("id", "answer-1", "text", text);
    }

    static Map<String, Object> last() {
        return Map.of("id", "answer-1", "text", "", "finish_reason", "stop", "usage", USAGE, "version", "smollm2@1");
    }

    /** A chat completion with a text. */
    static Map<String, Object> chat(String text) {
        return Map.of("id", "chat-1", "model", "smollm2@1", "usage", USAGE,
                "choices", List.of(Map.of("finish_reason", "stop", "message", Map.of("role", "assistant", "content", text))));
    }

    /** A chat completion that asks for tools: pairs of a name and arguments. */
    static Map<String, Object> calls(String... pairs) {
        return Map.of("id", "chat-1", "model", "smollm2@1", "usage", USAGE, "choices",
                List.of(Map.of("finish_reason", "tool_calls", "message", Map.of("role", "assistant", "content", "", "tool_calls", toolCalls(pairs)))));
    }

    static List<Map<String, Object>> toolCalls(String... pairs) {
        List<Map<String, Object>> calls = new ArrayList<>();
        for (int i = 0; i < pairs.length; i += 2) {
            calls.add(Map.of("id", "call_" + i / 2, "type", "function", "index", i / 2, "function", Map.of("name", pairs[i], "arguments", pairs[i + 1])));
        }
        return calls;
    }

    /** The events of a streamed chat completion. */
    static Object[] chatEvents(Map<String, Object> delta, String reason) {
        return new Object[] {
            Map.of("id", "chat-1", "model", "smollm2@1", "choices", List.of(Map.of("delta", delta))),
            Map.of("id", "chat-1", "model", "smollm2@1", "choices", List.of(Map.of("delta", Map.of(), "finish_reason", reason))),
            Map.of("id", "chat-1", "model", "smollm2@1", "choices", List.of(), "usage", USAGE),
            "[DONE]",
        };
    }

    static Model model(LLMOS client, ScriptedServer server) {
        server.replies(ScriptedServer.json(MODEL));
        var model = client.models().get("dialogue");
        server.received.clear();
        return model;
    }
}
