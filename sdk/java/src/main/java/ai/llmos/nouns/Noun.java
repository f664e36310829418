package ai.llmos.nouns;

import ai.llmos.Page;
import ai.llmos.internal.Call;
import ai.llmos.internal.Transport;
import ai.llmos.json.Binding;
import ai.llmos.json.JsonException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.BiFunction;

/** Base of the nouns of the control plane: sends their requests and reads the replies. */
public abstract class Noun {
    /** Runs the calls. */
    protected final Transport transport;

    /** Makes one; the client does. */
    protected Noun(Transport transport) {
        this.transport = transport;
    }

    /** Returns the object that a call is answered with. */
    protected final <T> T one(Class<T> kind, String method, String path, Map<String, ?> body) {
        return transport.request(Call.of(method, path, body, Call.one(kind)));
    }

    /** Returns the objects that a call is answered with. */
    protected final <T> List<T> each(Class<T> kind, String method, String path, Map<String, ?> body) {
        return transport.request(Call.of(method, path, body, Call.each(kind)));
    }

    /** Returns the JSON object that a call is answered with, decoded. */
    protected final Map<String, Object> map(String method, String path, Map<String, ?> body) {
        return transport.request(Call.of(method, path, body, Call::object));
    }

    /** Returns a list of texts in the answer to a call. */
    @SuppressWarnings("unchecked")
    protected final List<String> texts(String field, String method, String path, Map<String, ?> body) {
        return transport.request(Call.of(method, path, body, reply -> Binding.read(Call.object(reply).get(field), List.class)));
    }

    /** Runs a call that returns nothing. */
    protected final void none(String method, String path, Map<String, ?> body) {
        transport.request(Call.of(method, path, body, Call::nothing));
    }

    /** Returns a page of a list, whose answer names the next one. */
    protected final <T> Page<T> page(Class<T> kind, String path, Map<String, ?> query) {
        return page(kind, path, query, (reply, rows) -> (String) reply.get("next"));
    }

    /** Returns a page of a list that goes on behind the id of its last row. */
    protected final <T> Page<T> ids(Class<T> kind, String path, Map<String, ?> query) {
        // One row more than a page may have would be an error, so that only an empty page is known to be the last one.
        return page(kind, path, query, (reply, rows) -> rows.isEmpty() ? null : (String) Call.object(rows.get(rows.size() - 1)).get("id"));
    }

    /** Returns a page. The function finds `after` of the next one in the reply and its rows; null: there is none. */
    protected final <T> Page<T> page(
            Class<T> kind, String path, Map<String, ?> query, BiFunction<Map<String, Object>, List<?>, String> findNext) {
        return transport.request(Call.of("GET", path + query(query), null, reply -> {
            if (!(Call.object(reply).get("data") instanceof List<?> rows)) {
                throw new JsonException("data is no list");
            }
            List<T> data = rows.stream().map(row -> Binding.read(row, kind)).toList();
            var next = findNext.apply(Call.object(reply), rows);
            return new Page<>(data, next == null ? null : () -> page(kind, path, with(query, "after", next), findNext));
        }));
    }

    /** Returns fields by their names, without those that are null. */
    protected static Map<String, Object> fields(Object... pairs) {
        return merged(Map.of(), pairs);
    }

    /** Returns given fields and further ones, without those that are null. */
    protected static Map<String, Object> merged(Map<String, ?> given, Object... pairs) {
        Map<String, Object> fields = new LinkedHashMap<>();
        for (int i = 0; i < pairs.length; i += 2) {
            if (pairs[i + 1] != null) {
                fields.put((String) pairs[i], pairs[i + 1]);
            }
        }
        fields.putAll(given);
        return fields;
    }

    private static Map<String, Object> with(Map<String, ?> fields, String name, Object value) {
        return merged(fields.containsKey(name) ? without(fields, name) : fields, name, value);
    }

    private static Map<String, ?> without(Map<String, ?> fields, String name) {
        Map<String, Object> rest = new LinkedHashMap<>(fields);
        rest.remove(name);
        return rest;
    }

    /** Returns the query of a path. */
    protected static String query(Map<String, ?> fields) {
        return Call.query(fields);
    }

    /** Returns a text as one segment of a path. */
    protected static String segment(String text) {
        return Call.segment(text, "");
    }

    /** Returns the name of something with versions as one segment of a path. */
    protected static String ref(String name) {
        return Call.segment(name, "@:");
    }

    /** Returns a text as segments of a path. */
    protected static String path(String text) {
        return Call.segment(text, "/");
    }

    /** Returns targets with their percents as the server takes them. */
    protected static List<Map<String, Object>> weights(Map<String, ? extends Number> percentOf) {
        return percentOf.entrySet().stream().map(each -> fields("target", each.getKey(), "percent", each.getValue())).toList();
    }
}
