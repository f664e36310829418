package ai.llmos.service;

import ai.llmos.EventStream;
import ai.llmos.json.Json;
import ai.llmos.json.Name;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.reflect.AccessibleObject;
import java.lang.reflect.InaccessibleObjectException;
import java.lang.reflect.InvocationHandler;
import java.lang.reflect.Method;
import java.lang.reflect.Parameter;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Proxy;
import java.lang.reflect.Type;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Flow;

/** One method of an interface whose calls go to a model or an application: where its session and its input are, and what it returns. */
final class ServiceMethod {
    /** The way in which the result arrives. */
    enum Delivery { DIRECT, FUTURE, STREAM, PUBLISHER }

    final Method method;
    final Delivery delivery;
    /** The type of the result itself, or of what a stream gives. */
    final Type result;
    private final Parameter[] parameters;
    private final int session;

    ServiceMethod(Method method) {
        this.method = method;
        parameters = method.getParameters();
        var raw = method.getReturnType();
        delivery = raw == CompletableFuture.class ? Delivery.FUTURE
                : raw == Flow.Publisher.class ? Delivery.PUBLISHER
                : EventStream.class.isAssignableFrom(raw) ? Delivery.STREAM : Delivery.DIRECT;
        var generic = method.getGenericReturnType();
        result = delivery == Delivery.DIRECT ? generic
                : generic instanceof ParameterizedType type ? type.getActualTypeArguments()[0] : Object.class;
        session = indexOfSession();
        if (parameters.length - (session < 0 ? 0 : 1) != 1 && !method.isAnnotationPresent(UserMessage.class)) {
            throw new IllegalArgumentException(method + " needs one parameter besides @Session, which is what it says, or @UserMessage.");
        }
        if (method.isAnnotationPresent(UserMessage.class)) {
            fill(method.getAnnotation(UserMessage.class).value(), new Object[parameters.length]);
        }
    }

    private int indexOfSession() {
        int found = -1;
        for (int i = 0; i < parameters.length; i++) {
            if (parameters[i].isAnnotationPresent(Session.class)) {
                if (found >= 0) {
                    throw new IllegalArgumentException(method + " has two parameters with @Session.");
                }
                found = i;
            }
        }
        return found;
    }

    Optional<String> session(Object[] arguments) {
        return session < 0 ? Optional.empty() : Optional.of(String.valueOf(arguments[session]));
    }

    /** Returns the value of the only parameter besides the session, or the text of @UserMessage with all of them. */
    Object input(Object[] arguments) {
        if (method.isAnnotationPresent(UserMessage.class)) {
            return fill(method.getAnnotation(UserMessage.class).value(), arguments);
        }
        return arguments[session == 0 ? 1 : 0];
    }

    String text(Object[] arguments) {
        return shown(input(arguments));
    }

    private static String shown(Object value) {
        return value instanceof CharSequence text ? text.toString() : Json.write(value);
    }

    /** Returns a template with the arguments in the places of their names. What they contain is never a template itself. */
    private String fill(String template, Object[] arguments) {
        Map<String, String> values = new HashMap<>();
        for (int i = 0; i < parameters.length; i++) {
            if (i != session) {
                var value = shown(arguments[i]);
                values.put(parameters.length - (session < 0 ? 0 : 1) == 1 ? "it" : nameOf(parameters[i]), value);
                if (hasName(parameters[i])) {
                    values.put(nameOf(parameters[i]), value);
                }
            }
        }
        var filled = new StringBuilder();
        int at = 0;
        for (int open = template.indexOf("{{"); open >= 0; open = template.indexOf("{{", at)) {
            int close = template.indexOf("}}", open);
            var name = close < 0 ? "" : template.substring(open + 2, close).strip();
            if (!values.containsKey(name)) {
                throw new IllegalArgumentException(method + " has no parameter for {{" + name + "}}. Names: " + values.keySet() + ".");
            }
            filled.append(template, at, open).append(values.get(name));
            at = close + 2;
        }
        return filled.append(template.substring(at)).toString();
    }

    private static boolean hasName(Parameter parameter) {
        return parameter.isAnnotationPresent(Name.class) || parameter.isNamePresent();
    }

    static String nameOf(Parameter parameter) {
        if (!hasName(parameter)) {
            throw new IllegalArgumentException(parameter.getDeclaringExecutable() + " has a parameter whose name isn't known. Write "
                    + "@Name(\"…\") before it, or compile with javac -parameters.");
        }
        return parameter.isAnnotationPresent(Name.class) ? parameter.getAnnotation(Name.class).value() : parameter.getName();
    }

    static boolean isNullable(Parameter parameter) {
        return parameter.getType() == Optional.class
                || Arrays.stream(parameter.getAnnotations()).anyMatch(each -> each.annotationType().getSimpleName().equals("Nullable"));
    }

    static void open(AccessibleObject part) {
        try {
            part.setAccessible(true);
        } catch (InaccessibleObjectException error) {
            throw new IllegalArgumentException(part + " can't be called: its module must open its package to ai.llmos in module-info.java.");
        }
    }

    /** Runs a call of a method. */
    interface Runner {
        Object run(ServiceMethod method, Object[] arguments);

        /** Throws an IllegalArgumentException for a method that can't be called. */
        default void check(ServiceMethod method) {}
    }

    /** Returns the body of a default method, also where the interface isn't public. */
    private static MethodHandle defaultOf(Class<?> type, Method method) throws IllegalAccessException {
        return MethodHandles.privateLookupIn(type, MethodHandles.lookup()).unreflectSpecial(method, type);
    }

    /** Returns an object with an interface, the calls of whose methods go to a runner. Everything is checked here, not at a call. */
    static <T> T proxy(Class<T> type, String shown, Runner runner) {
        if (!type.isInterface()) {
            throw new IllegalArgumentException(type.getName() + " is no interface.");
        }
        Map<Method, ServiceMethod> methods = new HashMap<>();
        for (var method : type.getMethods()) {
            if (java.lang.reflect.Modifier.isAbstract(method.getModifiers())) {
                var service = new ServiceMethod(method);
                runner.check(service);
                methods.put(method, service);
            }
        }
        InvocationHandler handler = (proxy, method, arguments) -> {
            if (methods.containsKey(method)) {
                return runner.run(methods.get(method), arguments == null ? new Object[0] : arguments);
            }
            return switch (method.getName()) {
                case "toString" -> shown;
                case "hashCode" -> System.identityHashCode(proxy);
                case "equals" -> proxy == arguments[0];
                default -> defaultOf(type, method).bindTo(proxy).invokeWithArguments(arguments == null ? new Object[0] : arguments);
            };
        };
        return type.cast(Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[] {type}, handler));
    }
}
