package ai.llmos.json;

import java.lang.reflect.AnnotatedElement;
import java.lang.reflect.Constructor;
import java.lang.reflect.InaccessibleObjectException;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.RecordComponent;
import java.lang.reflect.Type;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** The JSON object that stands for a record: its members, and how one becomes the other. Made once for each class. */
final class RecordShape {
    private static final ClassValue<RecordShape> SHAPES = new ClassValue<>() {
        @Override
        protected RecordShape computeValue(Class<?> type) {
            return new RecordShape(type);
        }
    };

    /** One component of the record. */
    record Member(String name, Type type, boolean isNullable, boolean isRequired, Object fallback, RecordComponent component) {}

    final Class<?> type;
    final List<Member> members;
    final boolean isLenient;
    private final Constructor<?> constructor;
    private final String tag;

    static RecordShape of(Class<?> type) {
        return SHAPES.get(type);
    }

    private RecordShape(Class<?> type) {
        this.type = type;
        isLenient = type.isAnnotationPresent(Lenient.class);
        tag = tagOf(type);
        var components = type.getRecordComponents();
        members = Arrays.stream(components).map(this::memberOf).toList();
        try {
            constructor = type.getDeclaredConstructor(
                    Arrays.stream(components).map(RecordComponent::getType).toArray(Class<?>[]::new));
            open(constructor);
            for (var component : components) {
                open(component.getAccessor());
            }
        } catch (NoSuchMethodException error) {
            throw new AssertionError("a record has a canonical constructor", error);
        }
    }

    /** Returns the value of the member `type` of a record below a sealed interface, or null for any other record. */
    static String tagOf(Class<?> type) {
        if (Arrays.stream(type.getInterfaces()).noneMatch(Class::isSealed)) {
            return null;
        }
        return type.isAnnotationPresent(Name.class) ? type.getAnnotation(Name.class).value() : type.getSimpleName();
    }

    private Member memberOf(RecordComponent component) {
        var given = component.getAnnotation(Default.class);
        boolean isNullable = isNullable(component) || isNullable(component.getAnnotatedType()) || component.getType() == Optional.class;
        return new Member(
                component.isAnnotationPresent(Name.class)
                        ? component.getAnnotation(Name.class).value()
                        : withUnderscores(component.getName()),
                component.getGenericType(),
                isNullable,
                component.isAnnotationPresent(Required.class),
                given == null ? null : Json.read(given.value()),
                component);
    }

    static boolean isNullable(AnnotatedElement element) {
        return Arrays.stream(element.getAnnotations()).anyMatch(each -> each.annotationType().getSimpleName().equals("Nullable"));
    }

    /** Returns a name of Java as JSON has it: numCalls becomes num_calls. */
    static String withUnderscores(String name) {
        var built = new StringBuilder(name.length() + 4);
        for (int i = 0; i < name.length(); i++) {
            char c = name.charAt(i);
            if (Character.isUpperCase(c) && i > 0) {
                built.append('_');
            }
            built.append(Character.toLowerCase(c));
        }
        return built.toString();
    }

    private void open(java.lang.reflect.AccessibleObject part) {
        try {
            part.setAccessible(true);
        } catch (InaccessibleObjectException error) {
            throw new JsonException("The record " + type.getName() + " can't be used: its module must write `opens "
                    + type.getPackageName() + " to ai.llmos;` in module-info.java.");
        }
    }

    Map<String, Object> toMap(Record record) {
        Map<String, Object> map = new LinkedHashMap<>();
        if (tag != null) {
            map.put("type", tag);
        }
        for (var member : members) {
            map.put(member.name(), call(member, record));
        }
        return map;
    }

    private Object call(Member member, Record record) {
        try {
            return member.component().getAccessor().invoke(record);
        } catch (ReflectiveOperationException error) {
            throw new JsonException("The record " + type.getName() + " can't be read: " + cause(error) + ".");
        }
    }

    Object construct(List<Object> values, String path) {
        try {
            return constructor.newInstance(values.toArray());
        } catch (ReflectiveOperationException error) {
            throw new JsonException(path + ": " + type.getSimpleName() + " can't be made of these values: " + cause(error) + ".");
        }
    }

    private static Object cause(ReflectiveOperationException error) {
        return error instanceof InvocationTargetException ? error.getCause() : error;
    }

    /** Returns the record that a JSON object stands for. */
    Object read(Map<?, ?> object, String path) {
        List<Object> values = new ArrayList<>(members.size());
        for (var member : members) {
            values.add(readMember(member, object, path));
        }
        return construct(values, path);
    }

    private Object readMember(Member member, Map<?, ?> object, String path) {
        var value = object.get(member.name());
        if (value == null && !member.isNullable() && isLenient && !(member.isRequired() && !object.containsKey(member.name()))) {
            // A null where none belongs is read like a missing member: an older or newer server may send it.
            return member.fallback() == null ? Binding.emptyOf(member.type()) : Binding.read(member.fallback(), member.type(), path);
        }
        if (value == null && !member.isNullable()) {
            throw new JsonException(path + "." + member.name() + " is missing.");
        }
        return Binding.read(value, member.type(), path + "." + member.name());
    }
}
