package ai.llmos;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.llmos.ScriptedServer.Reply;
import ai.llmos.errors.LLMOSException;
import ai.llmos.json.Binding;
import ai.llmos.json.Json;
import ai.llmos.schemas.VersionDetails;
import ai.llmos.service.AiService;
import ai.llmos.service.Memory;
import ai.llmos.service.Session;
import ai.llmos.service.Tool;
import ai.llmos.json.Name;
import java.io.IOException;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.math.BigDecimal;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

/** The requests, replies and streams that all clients agree on: the files in sdk/conformance, which the Python client's tests read, too. */
class ConformanceTest {
    private static final Path FOLDER = Path.of(System.getProperty("llmos.conformance", "sdk/conformance"));

    @TestFactory
    Stream<DynamicTest> theClientSendsAndReadsWhatTheFilesSay() {
        return Stream.of("text", "conversations", "streams", "errors", "control").flatMap(file ->
                read(file).stream().map(each -> DynamicTest.dynamicTest(file + ": " + map(each).get("name"), () -> check(map(each)))));
    }

    private static void check(Map<String, Object> test) {
        try (var server = new ScriptedServer(); var client = server.client()) {
            for (var exchange : list(test.get("exchanges"))) {
                server.replies(replyOf(map(map(exchange).get("reply"))));
            }
            var outcome = run(client, test);
            assertSame(list(test.get("exchanges")).stream().map(each -> requestOf(map(map(each).get("request")))).toList(),
                    server.received.stream().map(each -> request(each.method(), each.path(), each.body())).toList());
            assertEquals(test.containsKey("error"), outcome.containsKey("error"), outcome::toString);
            for (var field : List.of("pieces", "result", "error")) {
                if (test.containsKey(field)) {
                    assertSame(plain(test.get(field)), plain(outcome.get(field)));
                }
            }
        }
    }

    private static Map<String, Object> run(LLMOS client, Map<String, Object> test) {
        Map<String, Object> outcome = new TreeMap<>();
        try {
            if (test.get("call").toString().startsWith("stream_")) {
                List<String> pieces = new ArrayList<>();
                outcome.put("pieces", pieces);
                try (var stream = (AnswerStream) call(client, test)) {
                    stream.forEach(pieces::add);
                    outcome.put("result", stream.answer());
                }
            } else {
                outcome.put("result", call(client, test));
            }
        } catch (LLMOSException error) {
            var part = test.containsKey("error") ? map(test.get("error")).get("message").toString() : "";
            var message = error.getMessage().contains(part) ? part : error.getMessage();
            outcome.put("error", Map.of("code", error.code(), "status", error.status(), "message", message));
        }
        return outcome;
    }

    private static Object call(LLMOS client, Map<String, Object> test) {
        var name = test.get("call").toString();
        var arguments = map(test.get("arguments"));
        if (name.contains(".")) {
            return callNoun(client, name, list(arguments.get("positional")), map(arguments.getOrDefault("settings", Map.of())));
        }
        var model = client.modelNamed(Binding.read(Map.of("name", "dialogue"), VersionDetails.class));
        var options = map(arguments.getOrDefault("options", Map.of()));
        Consumer<Settings> given = settings -> options.forEach(settings::set);
        return switch (name) {
            case "generate_text" -> model.generateText((String) arguments.get("prompt"), set -> {
                given.accept(set);
                set.set("raw", arguments.get("raw"));
            });
            case "stream_text" -> model.streamText((String) arguments.get("prompt"), given);
            case "chat" -> model.chat(messages(arguments), given);
            case "stream_chat" -> model.streamChat(messages(arguments), given);
            case "count_tokens" -> model.countTokens(messages(arguments));
            case "embed" -> model.embed(Binding.read(arguments.get("texts"), List.class), given);
            default -> throw new AssertionError(name);
        };
    }

    private static List<Message> messages(Map<String, Object> arguments) {
        return list(arguments.get("messages")).stream().map(each -> {
            var message = map(each);
            var calls = list(message.getOrDefault("tool_calls", List.of())).stream().map(call -> {
                var function = map(map(call).get("function"));
                return new ToolCall((String) map(call).get("id"), (String) function.get("name"), (String) function.get("arguments"));
            }).toList();
            return new Message((String) message.get("role"), message.get("content"), (String) message.get("reasoning_content"), calls,
                    (String) message.get("tool_call_id"));
        }).toList();
    }

    /** Calls the method with as many parameters: the positional ones, and the settings, as one parameter or one by one. */
    private static Object callNoun(LLMOS client, String name, List<Object> positional, Map<String, Object> settings) {
        var parts = name.split("\\.");
        var noun = invoke(client, method(client, parts[0], 0, List.of()));
        var method = method(noun, camel(parts[1]), positional.size() + (settings.isEmpty() ? 0 : 1), positional);
        boolean hasSettings = method != null && method.getParameterCount() > positional.size()
                && method.getParameterTypes()[positional.size()] == Consumer.class;
        List<Object> arguments = new ArrayList<>(positional);
        if (hasSettings) {
            arguments.add((Consumer<Settings>) set -> settings.forEach(set::set));
        } else {
            arguments.addAll(settings.values());
            method = method(noun, camel(parts[1]), arguments.size(), arguments);
        }
        for (int i = 0; i < arguments.size(); i++) {
            if (!(arguments.get(i) instanceof Consumer)) {
                arguments.set(i, Binding.read(arguments.get(i), method.getGenericParameterTypes()[i]));
            }
        }
        return invoke(noun, method, arguments.toArray());
    }

    private static Method method(Object object, String name, int num, List<Object> arguments) {
        return Arrays.stream(object.getClass().getMethods())
                .filter(each -> each.getName().equals(name) && each.getParameterCount() == num && !each.isBridge())
                .filter(each -> {
                    for (int i = 0; i < arguments.size() && i < num; i++) {
                        if (arguments.get(i) instanceof Map != (each.getParameterTypes()[i] == Map.class)) {
                            return false;
                        }
                    }
                    return true;
                })
                .findFirst().orElse(null);
    }

    private static Object invoke(Object object, Method method, Object... arguments) {
        try {
            return method.invoke(object, arguments);
        } catch (InvocationTargetException error) {
            throw (RuntimeException) error.getCause();
        } catch (IllegalAccessException error) {
            throw new AssertionError(error);
        }
    }

    interface Guide {
        EventStream<String> tell(@Session String session, String text);
    }

    /** The tool of history.json. */
    static class Weather {
        @Tool("The weather")
        public String weather(@Name("city") String city) {
            return "Sunny in " + city;
        }
    }

    @Test
    void aStreamedConversationWithToolsConsistsOfWholeTurns() {
        var test = map(read("history").get(0));
        try (var server = new ScriptedServer(); var client = server.client()) {
            var guide = AiService.builder(Guide.class).model(Replies.model(client, server)).tools(new Weather()).memory(Memory.ofTurns(9)).build();
            for (var each : list(test.get("turns"))) {
                var turn = map(each);
                server.received.clear();
                boolean breaks = turn.containsKey("breaks");
                list(turn.get("exchanges")).forEach(exchange -> server.replies(events(list(map(exchange).get("events")), breaks)));
                List<String> pieces = new ArrayList<>();
                var stream = guide.tell("ann", (String) turn.get("text"));
                if (breaks) {
                    assertThrows(LLMOSException.class, () -> stream.forEach(pieces::add));
                } else {
                    stream.forEach(pieces::add);
                }
                assertEquals(turn.get("pieces"), pieces);
                assertSame(list(turn.get("exchanges")).stream().map(exchange -> map(exchange).get("messages")).toList(),
                        server.received.stream().map(request -> list(map(request.body()).get("messages")).stream().map(ConformanceTest::withoutOwnText).toList()).toList());
            }
        }
    }

    private static Object withoutOwnText(Object message) {
        var map = new TreeMap<>(map(message));
        if (map.get("role").equals("tool") && map.get("content").toString().startsWith("The arguments can't be used")) {
            map.remove("content");
        }
        return map;
    }

    // Reading the files

    private static Reply replyOf(Map<String, Object> reply) {
        if (reply.containsKey("events")) {
            return events(list(reply.get("events")), reply.get("end").equals("die"));
        }
        var text = reply.containsKey("text") ? (String) reply.get("text") : Json.write(reply.get("json"));
        var head = new StringBuilder("HTTP/1.1 " + reply.get("status") + " Status\r\n");
        map(reply.getOrDefault("headers", Map.of())).forEach((name, value) -> head.append(name).append(": ").append(value).append("\r\n"));
        return reply.get("status").equals(204L) ? (out, connection) -> ScriptedServer.write(out, head + "\r\n") : ScriptedServer.raw(head.toString(), text);
    }

    private static Reply events(List<Object> events, boolean dies) {
        return (out, connection) -> {
            ScriptedServer.beginEvents(out);
            for (var event : events) {
                ScriptedServer.writeEvent(out, event);
            }
            connection.isOver = dies;
            if (!dies) {
                ScriptedServer.write(out, "0\r\n\r\n");
            }
        };
    }

    private static List<Object> requestOf(Map<String, Object> request) {
        return request((String) request.get("method"), (String) request.get("path"), request.get("body"));
    }

    private static List<Object> request(String method, String path, Object body) {
        var parts = path.split("\\?", 2);
        var query = parts.length < 2 ? List.of() : Arrays.stream(parts[1].split("&"))
                .map(each -> URLDecoder.decode(each, StandardCharsets.UTF_8)).sorted().toList();
        return Arrays.asList(method, parts[0], query, withoutNulls(body));
    }

    private static Object withoutNulls(Object body) {
        if (!(plain(body) instanceof Map<?, ?> map)) {
            return body;
        }
        var given = new TreeMap<>(map);
        given.values().removeIf(value -> value == null);
        return given.isEmpty() ? null : given;
    }

    /** Compares with what the file says; a record of this client may have further fields. */
    private static void assertSame(Object expected, Object actual) {
        if (expected instanceof Map<?, ?> map && actual instanceof Map<?, ?> other) {
            assertTrue(other.keySet().containsAll(map.keySet()), () -> "missing in " + other + ": " + map);
            map.forEach((name, value) -> assertSame(value, other.get(name)));
        } else if (expected instanceof List<?> list && actual instanceof List<?> other) {
            assertEquals(list.size(), other.size(), () -> other + " is not " + list);
            for (int i = 0; i < list.size(); i++) {
                assertSame(list.get(i), other.get(i));
            }
        } else {
            assertEquals(plain(expected), plain(actual));
        }
    }

    /** Returns a value as its JSON, in which numbers are equal if their values are. */
    private static Object plain(Object value) {
        return sorted(Json.read(Json.write(value)));
    }

    private static Object sorted(Object value) {
        if (value instanceof Map<?, ?> map) {
            Map<Object, Object> sorted = new TreeMap<>();
            map.forEach((name, each) -> sorted.put(name, sorted(each)));
            return sorted;
        }
        if (value instanceof Collection<?> values) {
            return values.stream().map(ConformanceTest::sorted).toList();
        }
        return value instanceof Number ? new BigDecimal(value.toString()).stripTrailingZeros() : value;
    }

    private static String camel(String name) {
        var parts = name.split("_");
        var built = new StringBuilder(parts[0]);
        for (int i = 1; i < parts.length; i++) {
            built.append(Character.toUpperCase(parts[i].charAt(0))).append(parts[i].substring(1));
        }
        return built.toString();
    }

    private static List<Object> read(String file) {
        try {
            return list(Json.read(Files.readAllBytes(FOLDER.resolve(file + ".json"))));
        } catch (IOException error) {
            throw new AssertionError(error);
        }
    }

    @SuppressWarnings("unchecked")
    private static Map<String, Object> map(Object value) {
        return (Map<String, Object>) value;
    }

    @SuppressWarnings("unchecked")
    private static List<Object> list(Object value) {
        return (List<Object>) value;
    }
}
