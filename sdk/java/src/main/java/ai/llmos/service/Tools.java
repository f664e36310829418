package ai.llmos.service;

import ai.llmos.Message;
import ai.llmos.ToolCall;
import ai.llmos.ToolSpec;
import ai.llmos.json.Binding;
import ai.llmos.json.Description;
import ai.llmos.json.Json;
import ai.llmos.json.JsonException;
import ai.llmos.json.JsonSchema;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Type;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Methods that a model may call: those of given objects with the annotation {@link Tool}.
 *
 * <pre>{@code
 * class Weather {
 *     @Tool("The weather in a city, now")
 *     String weather(@Name("city") String city) { … }
 * }
 * var tools = Tools.of(new Weather());
 * var answer = model.chat(messages, options -> options.tools(tools.specs()));
 * for (var call : answer.toolCalls()) {
 *     messages.add(tools.run(call));
 * }
 * }</pre>
 */
public final class Tools {
    private record Bound(Object target, Method method, ToolSpec spec) {}

    private final Map<String, Bound> bound = new LinkedHashMap<>();

    private Tools() {}

    /**
     * Returns the tools of objects.
     *
     * @throws IllegalArgumentException for an object without any, two of one name, and a parameter without a name or a schema
     */
    public static Tools of(Object... objects) {
        var tools = new Tools();
        for (var object : objects) {
            tools.addThoseOf(object);
        }
        return tools;
    }

    private void addThoseOf(Object object) {
        int before = bound.size();
        for (var method : object.getClass().getDeclaredMethods()) {
            if (method.isAnnotationPresent(Tool.class)) {
                add(object, method);
            }
        }
        if (bound.size() == before) {
            throw new IllegalArgumentException(object.getClass().getName() + " has no method with @Tool.");
        }
    }

    private void add(Object object, Method method) {
        Map<String, Type> types = new LinkedHashMap<>();
        Map<String, String> descriptions = new LinkedHashMap<>();
        List<String> required = new ArrayList<>();
        for (var parameter : method.getParameters()) {
            var name = ServiceMethod.nameOf(parameter);
            types.put(name, parameter.getParameterizedType());
            if (parameter.isAnnotationPresent(Description.class)) {
                descriptions.put(name, parameter.getAnnotation(Description.class).value());
            }
            if (!ServiceMethod.isNullable(parameter)) {
                required.add(name);
            }
        }
        ServiceMethod.open(method);
        try {
            var spec = new ToolSpec(method.getName(), method.getAnnotation(Tool.class).value(), JsonSchema.ofMembers(types, required, descriptions));
            if (bound.put(method.getName(), new Bound(object, method, spec)) != null) {
                throw new IllegalArgumentException("Two tools are named " + method.getName() + ". Rename one.");
            }
        } catch (JsonException error) {
            throw new IllegalArgumentException(method + " can't be a tool: " + error.getMessage());
        }
    }

    /** Returns what the model is told of them. */
    public List<ToolSpec> specs() {
        return bound.values().stream().map(Bound::spec).toList();
    }

    /**
     * Runs a call and returns its result as a message. What is wrong with the arguments, and what a tool throws, is a result, too,
     * so that the model can correct itself.
     */
    public Message run(ToolCall call) {
        return Message.tool(call.id(), resultOf(call));
    }

    private String resultOf(ToolCall call) {
        var tool = bound.get(call.name());
        if (tool == null) {
            return "There is no tool " + call.name() + ".";
        }
        Object[] arguments;
        try {
            arguments = argumentsOf(tool.method(), call);
        } catch (JsonException error) {
            return "The arguments can't be used: " + error.getMessage();
        }
        try {
            var result = tool.method().invoke(tool.target(), arguments);
            return result instanceof String text ? text : Json.write(result);
        } catch (InvocationTargetException failure) {
            if (failure.getCause() instanceof Error error) {
                throw error;
            }
            if (failure.getCause() instanceof InterruptedException) {
                Thread.currentThread().interrupt();
            }
            return "The tool failed: " + failure.getCause().getMessage();
        } catch (IllegalAccessException error) {
            throw new IllegalStateException(error);
        }
    }

    private static Object[] argumentsOf(Method method, ToolCall call) {
        if (!(call.json() instanceof Map<?, ?> given)) {
            throw new JsonException("they are no object.");
        }
        var parameters = method.getParameters();
        var arguments = new Object[parameters.length];
        for (int i = 0; i < parameters.length; i++) {
            var name = ServiceMethod.nameOf(parameters[i]);
            if (given.get(name) == null && !ServiceMethod.isNullable(parameters[i])) {
                throw new JsonException(name + " is missing.");
            }
            arguments[i] = Binding.read(given.get(name), parameters[i].getParameterizedType());
        }
        return arguments;
    }
}
