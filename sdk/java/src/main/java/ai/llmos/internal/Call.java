package ai.llmos.internal;

import ai.llmos.json.Binding;
import ai.llmos.json.JsonException;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/**
 * One HTTP request and the reader of its reply. No input or output happens here.
 *
 * @param path with the query
 * @param body what is sent as JSON, or null
 * @param content bytes that are sent as they are, in place of a body, or null
 * @param reader turns the decoded JSON of a reply (null if it is empty) into the result. Throws a JsonException for any
 *     other reply
 */
public record Call<T>(
        String method, String path, Object body, byte[] content, Map<String, String> headers, Function<Object, T> reader) {

    public static <T> Call<T> of(String method, String path, Object body, Function<Object, T> reader) {
        return new Call<>(method, path, body, null, Map.of(), reader);
    }

    /** Returns a reader of one object. */
    public static <T> Function<Object, T> one(Class<T> kind) {
        return reply -> Binding.read(object(reply), kind);
    }

    /** Returns a reader of the objects in `data`. */
    public static <T> Function<Object, List<T>> each(Class<T> kind) {
        return reply -> {
            if (!(object(reply).get("data") instanceof List<?> rows)) {
                throw new JsonException("data is no list");
            }
            List<T> values = new ArrayList<>(rows.size());
            for (var row : rows) {
                values.add(Binding.read(object(row), kind));
            }
            return java.util.Collections.unmodifiableList(values);
        };
    }

    /** Reads the reply of a call that returns nothing. */
    public static Void nothing(Object reply) {
        return null;
    }

    @SuppressWarnings("unchecked")
    public static Map<String, Object> object(Object reply) {
        if (reply instanceof Map<?, ?> map) {
            return (Map<String, Object>) map;
        }
        throw new JsonException("the reply is no object");
    }

    /** Returns a text as one segment of a path, of which these characters stay. */
    public static String segment(String text, String kept) {
        var quoted = quote(text);
        for (char c : kept.toCharArray()) {
            quoted = quoted.replace(String.format("%%%02X", (int) c), String.valueOf(c));
        }
        return quoted;
    }

    /** Returns a query of the values that aren't null, with its question mark; an empty text without any. */
    public static String query(Map<String, ?> values) {
        var built = new StringBuilder();
        values.forEach((name, value) -> {
            if (value instanceof List<?> list) {
                list.forEach(each -> append(built, name, each));
            } else if (value != null) {
                append(built, name, value);
            }
        });
        return built.toString();
    }

    private static void append(StringBuilder built, String name, Object value) {
        built.append(built.length() == 0 ? '?' : '&').append(name).append('=').append(quote(String.valueOf(value)));
    }

    private static String quote(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8).replace("+", "%20").replace("*", "%2A").replace("%7E", "~");
    }
}
