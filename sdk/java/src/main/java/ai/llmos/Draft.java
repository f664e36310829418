package ai.llmos;

import ai.llmos.json.JsonException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** An answer while it is being received. Throws a JsonException for what no LLMOS server sends. */
final class Draft {
    final String model;
    final StringBuilder text = new StringBuilder();
    final StringBuilder reasoning = new StringBuilder();
    final List<ToolCall> toolCalls = new ArrayList<>();
    final List<String> warnings = new ArrayList<>();
    String id;
    String version;
    String finishReason;
    Usage usage;

    Draft(String model) {
        this.model = model;
    }

    /** Returns whether the caller has seen a part of it. */
    synchronized boolean hasBegun() {
        return text.length() > 0 || reasoning.length() > 0 || !toolCalls.isEmpty();
    }

    synchronized Answer finished() {
        if (id == null || version == null || finishReason == null || usage == null) {
            throw new JsonException("a part of the answer is missing");
        }
        return new Answer(id, text.toString(), model, version, finishReason, usage, reasoning.toString(), List.copyOf(toolCalls),
                List.copyOf(warnings));
    }

    /** Reads a reply or an event of LLMOS's own format; returns the text that it adds. */
    synchronized String readGenerated(Object reply) {
        var event = object(reply);
        version = text(event.get("version"), version);
        return update(event, event.get("finish_reason"), event.get("text"));
    }

    /** Reads a reply (part `message`) or an event (part `delta`) of OpenAI's format; returns the text that it adds. */
    synchronized String readChoice(Object reply, String part) {
        var body = object(reply);
        version = text(body.get("model"), version);
        if (!(body.get("choices") instanceof List<?> choices)) {
            throw new JsonException("choices is no list");
        }
        // The event with the usage has no choices.
        Map<?, ?> choice = choices.isEmpty() ? Map.of() : object(choices.get(0));
        Map<?, ?> message = choice.get(part) == null ? Map.of() : object(choice.get(part));
        addToolCalls(message);
        for (var warning : list(body.get("warnings"))) {
            warnings.add(String.valueOf(object(warning).get("message")));
        }
        reasoning.append(text(message.get("reasoning_content"), ""));
        return update(body, choice.get("finish_reason"), message.get("content"));
    }

    private String update(Map<?, ?> body, Object reason, Object piece) {
        id = text(body.get("id"), id);
        finishReason = text(reason, finishReason);
        if (body.get("usage") != null) {
            usage = usageIn(object(body.get("usage")));
        }
        var added = text(piece, "");
        text.append(added);
        return added;
    }

    private void addToolCalls(Map<?, ?> message) {
        int position = 0;
        for (var each : list(message.get("tool_calls"))) {
            var call = object(each);
            var function = object(call.get("function"));
            var index = call.get("index") == null ? (Object) (long) position : call.get("index");
            if (!(index instanceof Long)) {
                throw new JsonException("the index of a tool call is no number");
            }
            addToolCall((Long) index, text(call.get("id"), ""), text(function.get("name"), ""), text(function.get("arguments"), ""));
            position++;
        }
    }

    private void addToolCall(long index, String callId, String name, String arguments) {
        if (index == toolCalls.size() && !callId.isEmpty() && !name.isEmpty()) {
            toolCalls.add(new ToolCall(callId, name, arguments));
        } else if (index >= 0 && index < toolCalls.size()) {
            toolCalls.set((int) index, toolCalls.get((int) index).withMore(arguments));
        } else {
            throw new JsonException("the parts of a tool call are out of order");
        }
    }

    static Usage usageIn(Map<?, ?> usage) {
        Map<?, ?> details = usage.get("prompt_tokens_details") == null ? Map.of() : object(usage.get("prompt_tokens_details"));
        return new Usage(
                number(usage.get("prompt_tokens"), false),
                number(usage.get("completion_tokens"), false),
                number(usage.get("total_tokens"), false),
                number(details.get("cached_tokens"), true),
                usage.get("cost") == null ? null : String.valueOf(usage.get("cost")),
                text(usage.get("currency"), ""));
    }

    private static long number(Object value, boolean mayBeMissing) {
        if (value instanceof Long number) {
            return number;
        }
        if (value == null && mayBeMissing) {
            return 0;
        }
        throw new JsonException("a number of tokens is missing");
    }

    private static String text(Object value, String otherwise) {
        if (value == null || "".equals(value)) {
            return otherwise;
        }
        if (value instanceof String text) {
            return text;
        }
        throw new JsonException("a text is missing");
    }

    private static List<?> list(Object value) {
        if (value == null) {
            return List.of();
        }
        if (value instanceof List<?> list) {
            return list;
        }
        throw new JsonException("a list is missing");
    }

    static Map<?, ?> object(Object value) {
        if (value instanceof Map<?, ?> map) {
            return map;
        }
        throw new JsonException("an object is missing");
    }
}
