package ai.llmos.json;

import java.lang.reflect.Array;
import java.lang.reflect.GenericArrayType;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.lang.reflect.WildcardType;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.time.DateTimeException;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;
import java.util.function.Function;

/**
 * Reads decoded JSON as values of Java types: records, sealed interfaces of records, enums, lists, sets, maps, optionals,
 * arrays, numbers, texts, instants and dates. A number that doesn't fit its type exactly is an error, never another number.
 */
public final class Binding {
    private static final int MAX_DIGITS = 4300;

    private static final Map<Class<?>, Function<String, Object>> OF_TEXT = Map.of(
            Instant.class, text -> OffsetDateTime.parse(text).toInstant(),
            OffsetDateTime.class, OffsetDateTime::parse,
            LocalDate.class, LocalDate::parse,
            LocalDateTime.class, LocalDateTime::parse,
            UUID.class, UUID::fromString);

    private Binding() {}

    /**
     * Returns decoded JSON as a value of a class.
     *
     * @throws JsonException if it is none, with the path to the part that is wrong
     */
    @SuppressWarnings("unchecked")
    public static <T> T read(Object json, Class<T> type) {
        return (T) read(json, (Type) type);
    }

    /**
     * Returns decoded JSON as a value of a type, such as that of a method's result.
     *
     * @throws JsonException if it is none, with the path to the part that is wrong
     */
    public static Object read(Object json, Type type) {
        return read(json, type, "$");
    }

    static Object read(Object json, Type type, String path) {
        if (type instanceof WildcardType wildcard) {
            return read(json, wildcard.getUpperBounds()[0], path);
        }
        if (type instanceof GenericArrayType array) {
            return readArray(json, array.getGenericComponentType(), path);
        }
        var raw = rawOf(type);
        if (raw == Object.class) {
            return json;
        }
        if (raw == Optional.class) {
            return json == null ? Optional.empty() : Optional.of(read(json, argumentOf(type, 0), path));
        }
        if (json == null) {
            if (raw.isPrimitive()) {
                throw mismatch(null, raw, path);
            }
            return null;
        }
        return readClass(json, type, raw, path);
    }

    private static Object readClass(Object json, Type type, Class<?> raw, String path) {
        if (raw.isArray()) {
            return readArray(json, raw.getComponentType(), path);
        }
        if (raw.isAssignableFrom(List.class)) {
            return readList(json, argumentOf(type, 0), path);
        }
        if (raw == Set.class) {
            return new LinkedHashSet<>(readList(json, argumentOf(type, 0), path));
        }
        if (raw == Map.class) {
            return readMap(json, argumentOf(type, 1), path);
        }
        if (raw.isRecord()) {
            return RecordShape.of(raw).read(object(json, raw, path), path);
        }
        if (raw.isSealed()) {
            return readSealed(json, raw, path);
        }
        return readSimple(json, raw, path);
    }

    private static Object readSimple(Object json, Class<?> raw, String path) {
        if (raw == String.class || raw == CharSequence.class) {
            return instance(json, String.class, path);
        }
        if (raw == boolean.class || raw == Boolean.class) {
            return instance(json, Boolean.class, path);
        }
        if (raw.isEnum()) {
            return readEnum(json, raw, path);
        }
        if (OF_TEXT.containsKey(raw)) {
            return readText(json, raw, path);
        }
        return readNumber(instance(json, Number.class, path), raw, path);
    }

    private static Object readNumber(Number number, Class<?> raw, String path) {
        var exact = number instanceof BigDecimal decimal ? decimal : new BigDecimal(number.toString());
        try {
            if (raw == long.class || raw == Long.class) {
                return exact.longValueExact();
            }
            if (raw == int.class || raw == Integer.class) {
                return exact.intValueExact();
            }
            if (raw == double.class || raw == Double.class) {
                return exact.doubleValue();
            }
            if (raw == float.class || raw == Float.class) {
                return exact.floatValue();
            }
            if (raw == short.class || raw == Short.class) {
                return exact.shortValueExact();
            }
            if (raw == byte.class || raw == Byte.class) {
                return exact.byteValueExact();
            }
            if (raw == BigInteger.class && (long) exact.precision() - exact.scale() <= MAX_DIGITS) {
                return exact.toBigIntegerExact();
            }
        } catch (ArithmeticException error) {
            throw mismatch(number, raw, path);
        }
        if (raw == BigDecimal.class || raw == Number.class) {
            return raw == Number.class ? number : exact;
        }
        throw mismatch(number, raw, path);
    }

    private static Object readEnum(Object json, Class<?> raw, String path) {
        var name = instance(json, String.class, path);
        for (var constant : raw.getEnumConstants()) {
            if (((Enum<?>) constant).name().equals(name)) {
                return constant;
            }
        }
        throw mismatch(json, raw, path);
    }

    private static Object readText(Object json, Class<?> raw, String path) {
        try {
            return OF_TEXT.get(raw).apply(instance(json, String.class, path));
        } catch (DateTimeException | IllegalArgumentException error) {
            throw mismatch(json, raw, path);
        }
    }

    private static List<Object> readList(Object json, Type element, String path) {
        List<Object> values = new ArrayList<>();
        for (var each : instance(json, List.class, path)) {
            values.add(read(each, element, path + "[" + values.size() + "]"));
        }
        return java.util.Collections.unmodifiableList(values);
    }

    private static Map<String, Object> readMap(Object json, Type element, String path) {
        Map<String, Object> values = new LinkedHashMap<>();
        for (var entry : object(json, Map.class, path).entrySet()) {
            values.put((String) entry.getKey(), read(entry.getValue(), element, path + "." + entry.getKey()));
        }
        return java.util.Collections.unmodifiableMap(values);
    }

    private static Object readArray(Object json, Type element, String path) {
        var values = readList(json, element, path);
        var array = Array.newInstance(rawOf(element), values.size());
        for (int i = 0; i < values.size(); i++) {
            Array.set(array, i, values.get(i));
        }
        return array;
    }

    private static Object readSealed(Object json, Class<?> raw, String path) {
        var object = object(json, raw, path);
        for (var kind : raw.getPermittedSubclasses()) {
            if (kind.isRecord() && object.get("type") instanceof String tag && tag.equals(RecordShape.tagOf(kind))) {
                return RecordShape.of(kind).read(object, path);
            }
        }
        throw new JsonException(path + ".type is " + shown(object.get("type")) + ", which is no " + raw.getSimpleName() + ".");
    }

    /** Returns what a lenient record has in the place of a missing member. */
    static Object emptyOf(Type type) {
        var raw = rawOf(type);
        if (raw == String.class) {
            return "";
        }
        if (raw == List.class) {
            return List.of();
        }
        if (raw == Map.class) {
            return Map.of();
        }
        if (raw == boolean.class) {
            return false;
        }
        if (raw.isRecord() && raw.isAnnotationPresent(Lenient.class)) {
            return RecordShape.of(raw).read(Map.of(), "$");
        }
        return raw.isPrimitive() ? readNumber(0L, raw, "$") : null;
    }

    static Class<?> rawOf(Type type) {
        if (type instanceof Class<?> raw) {
            return raw;
        }
        if (type instanceof ParameterizedType parameterized) {
            return (Class<?>) parameterized.getRawType();
        }
        if (type instanceof GenericArrayType array) {
            return Array.newInstance(rawOf(array.getGenericComponentType()), 0).getClass();
        }
        return type instanceof WildcardType wildcard ? rawOf(wildcard.getUpperBounds()[0]) : Object.class;
    }

    static Type argumentOf(Type type, int index) {
        return type instanceof ParameterizedType parameterized ? parameterized.getActualTypeArguments()[index] : Object.class;
    }

    private static Map<?, ?> object(Object json, Class<?> raw, String path) {
        if (json instanceof Map<?, ?> map) {
            return map;
        }
        throw mismatch(json, raw, path);
    }

    private static <T> T instance(Object json, Class<T> kind, String path) {
        if (kind.isInstance(json)) {
            return kind.cast(json);
        }
        throw mismatch(json, kind, path);
    }

    private static JsonException mismatch(Object json, Class<?> raw, String path) {
        return new JsonException(path + " is " + shown(json) + ", which is no " + raw.getSimpleName() + ".");
    }

    private static String shown(Object json) {
        if (json instanceof Map) {
            return "an object";
        }
        if (json instanceof List) {
            return "a list";
        }
        var text = json instanceof String ? '"' + (String) json + '"' : String.valueOf(json);
        return text.length() > 60 ? text.substring(0, 60) + "…" : text;
    }
}
