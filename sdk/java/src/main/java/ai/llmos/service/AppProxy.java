package ai.llmos.service;

import ai.llmos.EventStream;
import ai.llmos.LLMOS;
import ai.llmos.errors.LLMOSException;
import ai.llmos.json.Binding;
import ai.llmos.nouns.RunSettings;
import ai.llmos.schemas.RunEvent;
import ai.llmos.schemas.RunResult;
import java.lang.reflect.Type;
import java.util.function.Consumer;

/** Deployed applications as interfaces. See {@link LLMOS#app}. */
public final class AppProxy {
    private final LLMOS llmos;
    private final String name;

    private AppProxy(LLMOS llmos, String name) {
        this.llmos = llmos;
        this.name = name;
    }

    /**
     * Returns an object whose calls are runs of an application. A method returns a text, a {@link RunResult}, what the output is
     * read as, such as a record, an {@code EventStream<RunEvent>}, or a future or a publisher of these.
     */
    public static <T> T of(LLMOS llmos, String name, Class<T> type) {
        return ServiceMethod.proxy(type, type.getSimpleName() + "[app=" + name + "]", new AppProxy(llmos, name)::run);
    }

    private Object run(ServiceMethod method, Object[] arguments) {
        var input = method.input(arguments);
        Consumer<RunSettings> settings = given -> method.session(arguments).ifPresent(given::session);
        return switch (method.delivery) {
            case DIRECT -> result(method.result, input, settings);
            case FUTURE -> llmos.async().call(client -> result(method.result, input, settings));
            case STREAM -> events(input, settings);
            case PUBLISHER -> llmos.async().publish(client -> events(input, settings));
        };
    }

    private EventStream<RunEvent> events(Object input, Consumer<RunSettings> settings) {
        return llmos.apps().stream(name, input, settings);
    }

    private Object result(Type type, Object input, Consumer<RunSettings> settings) {
        var run = llmos.apps().run(name, input, settings);
        if (type == RunResult.class) {
            return run;
        }
        if (!run.state().equals("succeeded")) {
            throw new LLMOSException(LLMOSException.Facts.local("run_waits", "The run " + run.id() + " is " + run.state() + " (for "
                    + run.waitsFor() + "). Let the method return RunResult, and call apps().resume()."));
        }
        if (type == void.class) {
            return null;
        }
        return type == String.class ? run.text() : Binding.read(run.output(), type);
    }
}
