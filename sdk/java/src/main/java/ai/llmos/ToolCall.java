package ai.llmos;

import ai.llmos.json.Binding;
import ai.llmos.json.Json;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * A function that the model wants to call. Send the result as {@link Message#tool} with this id.
 *
 * @param arguments a JSON object
 */
public record ToolCall(String id, String name, String arguments) {
    /**
     * Returns the decoded arguments.
     *
     * @throws ai.llmos.json.JsonException if they are no JSON, for example when maxTokens cut the answer
     */
    public Object json() {
        return Json.read(arguments);
    }

    /** Returns the arguments as a record. Throws as {@link #json} does, and if they don't fit. */
    public <T> T as(Class<T> type) {
        return Binding.read(json(), type);
    }

    ToolCall withMore(String more) {
        return new ToolCall(id, name, arguments + more);
    }

    Map<String, Object> toMap() {
        Map<String, Object> function = new LinkedHashMap<>();
        function.put("name", name);
        function.put("arguments", arguments);
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("id", id);
        map.put("type", "function");
        map.put("function", function);
        return map;
    }
}
