package ai.llmos;

import java.util.LinkedHashMap;
import java.util.Map;

/**
 * A function that a model may ask for.
 *
 * @param description what it does, for the model
 * @param parameters the JSON schema of its arguments, an object; {@link ai.llmos.json.JsonSchema#of} makes one of a record
 */
public record ToolSpec(String name, String description, Map<String, ?> parameters) {
    Map<String, Object> toMap() {
        Map<String, Object> function = new LinkedHashMap<>();
        function.put("name", name);
        function.put("description", description);
        function.put("parameters", parameters);
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("type", "function");
        map.put("function", function);
        return map;
    }
}
