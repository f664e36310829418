package ai.llmos.json;

import java.lang.reflect.AnnotatedElement;
import java.lang.reflect.Type;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.time.Instant;
import java.time.LocalDate;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;

/**
 * The JSON schema of a Java type, so that what a model writes by it can be read as that type by {@link Binding}.
 *
 * <p>A record is an object with exactly its components. A component that is {@link Nullable}, or an optional, may be null. A
 * sealed interface is one of its records (oneOf), which the member {@code type} tells apart. A record that contains itself
 * is a reference into {@code $defs}.
 */
public final class JsonSchema {
    private static final Map<Class<?>, Map<String, Object>> SIMPLE = Map.ofEntries(
            Map.entry(String.class, type("string")),
            Map.entry(boolean.class, type("boolean")),
            Map.entry(Boolean.class, type("boolean")),
            Map.entry(long.class, whole(Long.MIN_VALUE, Long.MAX_VALUE)),
            Map.entry(Long.class, whole(Long.MIN_VALUE, Long.MAX_VALUE)),
            Map.entry(int.class, whole(Integer.MIN_VALUE, Integer.MAX_VALUE)),
            Map.entry(Integer.class, whole(Integer.MIN_VALUE, Integer.MAX_VALUE)),
            Map.entry(short.class, whole(Short.MIN_VALUE, Short.MAX_VALUE)),
            Map.entry(Short.class, whole(Short.MIN_VALUE, Short.MAX_VALUE)),
            Map.entry(byte.class, whole(Byte.MIN_VALUE, Byte.MAX_VALUE)),
            Map.entry(Byte.class, whole(Byte.MIN_VALUE, Byte.MAX_VALUE)),
            Map.entry(double.class, type("number")),
            Map.entry(Double.class, type("number")),
            Map.entry(float.class, type("number")),
            Map.entry(Float.class, type("number")),
            Map.entry(BigDecimal.class, type("number")),
            Map.entry(BigInteger.class, type("integer")),
            Map.entry(Number.class, type("number")),
            Map.entry(Instant.class, text("date-time")),
            Map.entry(OffsetDateTime.class, text("date-time")),
            Map.entry(LocalDate.class, text("date")),
            Map.entry(UUID.class, text("uuid")),
            Map.entry(Object.class, Map.of()));

    private final Map<String, Object> definitions = new LinkedHashMap<>();
    private final Set<Class<?>> open = new LinkedHashSet<>();
    private final Set<Class<?>> recursive = new HashSet<>();

    private JsonSchema() {}

    /**
     * Returns the schema of a type.
     *
     * @throws JsonException for a type that has none
     */
    public static Map<String, Object> of(Type type) {
        var making = new JsonSchema();
        var schema = new LinkedHashMap<>(making.schemaOf(type, type.getTypeName()));
        if (!making.definitions.isEmpty()) {
            schema.put("$defs", making.definitions);
        }
        return schema;
    }

    /**
     * Returns the schema of an object with these members.
     *
     * @param types the types of the members, in order
     * @param required the members that can't be left out
     */
    public static Map<String, Object> ofMembers(Map<String, ? extends Type> types, Collection<String> required, Map<String, String> descriptions) {
        var making = new JsonSchema();
        Map<String, Object> properties = new LinkedHashMap<>();
        types.forEach((name, type) -> {
            var schema = making.schemaOf(type, name);
            properties.put(name, descriptions.containsKey(name) ? described(schema, descriptions.get(name)) : schema);
        });
        var schema = object(properties, required);
        if (!making.definitions.isEmpty()) {
            schema.put("$defs", making.definitions);
        }
        return schema;
    }

    private Map<String, Object> schemaOf(Type type, String where) {
        var raw = Binding.rawOf(type);
        if (SIMPLE.containsKey(raw)) {
            return SIMPLE.get(raw);
        }
        if (raw.isEnum()) {
            return map("type", "string", "enum", Arrays.stream(raw.getEnumConstants()).map(each -> ((Enum<?>) each).name()).toList());
        }
        if (raw == Optional.class) {
            return orNull(schemaOf(Binding.argumentOf(type, 0), where));
        }
        if (raw.isArray()) {
            return map("type", "array", "items", schemaOf(raw.getComponentType(), where));
        }
        if (raw == Set.class || raw.isAssignableFrom(List.class)) {
            return map("type", "array", "items", schemaOf(Binding.argumentOf(type, 0), where));
        }
        if (raw == Map.class) {
            return map("type", "object", "additionalProperties", schemaOf(Binding.argumentOf(type, 1), where));
        }
        if (raw.isRecord() || raw.isSealed()) {
            return schemaOfNamed(raw);
        }
        throw new JsonException(where + " has the type " + raw.getName() + ", which has no JSON schema. Use a record, a sealed "
                + "interface of records, an enum, a list, a map, a number, a text or a time.");
    }

    private Map<String, Object> schemaOfNamed(Class<?> raw) {
        var reference = map("$ref", "#/$defs/" + raw.getSimpleName());
        if (!open.add(raw)) {
            recursive.add(raw);
            return reference;
        }
        var schema = raw.isRecord() ? schemaOfRecord(raw) : schemaOfSealed(raw);
        if (raw.isAnnotationPresent(Description.class)) {
            schema = described(schema, raw.getAnnotation(Description.class).value());
        }
        open.remove(raw);
        if (!recursive.contains(raw)) {
            return schema;
        }
        definitions.put(raw.getSimpleName(), schema);
        return reference;
    }

    private Map<String, Object> schemaOfRecord(Class<?> raw) {
        Map<String, Object> properties = new LinkedHashMap<>();
        var tag = RecordShape.tagOf(raw);
        if (tag != null) {
            properties.put("type", map("const", tag));
        }
        for (var member : RecordShape.of(raw).members) {
            var schema = schemaOf(member.type(), raw.getSimpleName() + "." + member.component().getName());
            if (member.isNullable() && member.component().getType() != Optional.class) {
                schema = orNull(schema);
            }
            properties.put(member.name(), describedBy(schema, member.component()));
        }
        return object(properties, properties.keySet());
    }

    private Map<String, Object> schemaOfSealed(Class<?> raw) {
        List<Object> branches = new ArrayList<>();
        for (var kind : raw.getPermittedSubclasses()) {
            if (!kind.isRecord()) {
                throw new JsonException(raw.getName() + " permits " + kind.getName() + ", which is no record.");
            }
            branches.add(schemaOfNamed(kind));
        }
        return map("oneOf", branches);
    }

    private static Map<String, Object> describedBy(Map<String, Object> schema, AnnotatedElement element) {
        var description = element.getAnnotation(Description.class);
        return description == null ? schema : described(schema, description.value());
    }

    private static Map<String, Object> described(Map<String, Object> schema, String description) {
        Map<String, Object> described = new LinkedHashMap<>(schema);
        described.put("description", description);
        return described;
    }

    private static Map<String, Object> orNull(Map<String, Object> schema) {
        return map("anyOf", List.of(schema, type("null")));
    }

    private static Map<String, Object> object(Map<String, Object> properties, Collection<String> required) {
        return map("type", "object", "properties", properties, "required", List.copyOf(required), "additionalProperties", false);
    }

    private static Map<String, Object> type(String name) {
        return map("type", name);
    }

    private static Map<String, Object> text(String format) {
        return map("type", "string", "format", format);
    }

    private static Map<String, Object> whole(long minimum, long maximum) {
        return map("type", "integer", "minimum", minimum, "maximum", maximum);
    }

    private static Map<String, Object> map(Object... pairs) {
        Map<String, Object> map = new LinkedHashMap<>();
        for (int i = 0; i < pairs.length; i += 2) {
            map.put((String) pairs[i], pairs[i + 1]);
        }
        return map;
    }
}
