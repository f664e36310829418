package ai.llmos.service;

import ai.llmos.Answer;
import ai.llmos.CallOptions;
import ai.llmos.EventStream;
import ai.llmos.Message;
import ai.llmos.Model;
import ai.llmos.Settings;
import ai.llmos.internal.AsyncRunner;
import ai.llmos.internal.Holder;
import ai.llmos.json.JsonException;
import ai.llmos.json.JsonSchema;
import java.lang.reflect.Type;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Executor;
import java.util.function.Consumer;

/**
 * Makes a caller of a model out of an interface.
 *
 * <pre>{@code
 * record Place(String city, @Nullable String river) {}
 *
 * interface Guide {
 *     @SystemMessage("You answer in one sentence.")
 *     String ask(@Session String user, String text);
 *
 *     @UserMessage("Name a city in {{it}} and its river, as JSON.")
 *     Place place(String country);
 * }
 * Guide guide = AiService.builder(Guide.class).model(model).memory(Memory.ofTurns(20)).tools(new Weather()).build();
 * }</pre>
 *
 * <p>A method returns a text, an {@link Answer}, what JSON is read as (a record, a list of them, an enum, a number), an
 * {@code EventStream<String>} of the answer's pieces, or a future or a publisher of these.
 *
 * <p>A conversation has whole turns only: one whose answer failed, or was closed before its end, isn't kept.
 */
public final class AiService {
    private final Model model;
    private final Tools tools;
    private final Memory memory;
    private final Consumer<? super CallOptions> options;
    private final int maxSteps;
    private final AsyncRunner async;

    private AiService(Builder<?> builder) {
        model = Objects.requireNonNull(builder.model, "A service needs a model: call model(…).");
        tools = builder.tools;
        memory = builder.memory;
        options = builder.options;
        maxSteps = builder.maxSteps;
        async = new AsyncRunner(builder.executor == null ? Holder.executor() : builder.executor);
    }

    /** Returns a builder of objects with an interface. */
    public static <T> Builder<T> builder(Class<T> type) {
        return new Builder<>(type);
    }

    private Object run(ServiceMethod method, Object[] arguments) {
        var text = method.text(arguments);
        var session = memory == null ? null : method.session(arguments).orElse("");
        return switch (method.delivery) {
            case DIRECT -> result(method, session, text);
            case FUTURE -> async.run(() -> result(method, session, text));
            case STREAM -> new EventStream<>(turn(method, session, text).pieces());
            case PUBLISHER -> async.publish(() -> new EventStream<>(turn(method, session, text).pieces()));
        };
    }

    private Turn turn(ServiceMethod method, String session, String text) {
        List<Message> messages = new ArrayList<>();
        var instruction = instructionOf(method);
        if (instruction != null) {
            messages.add(Message.system(instruction));
        }
        if (session != null) {
            messages.addAll(memory.messages(session));
        }
        var given = Settings.of(new CallOptions(), options);
        if (!tools.specs().isEmpty()) {
            given.tools(tools.specs());
        }
        Consumer<List<Message>> onComplete = session == null ? turn -> {} : turn -> memory.add(session, turn);
        return new Turn(model, tools, given, maxSteps, messages, Message.user(text), onComplete);
    }

    private static String instructionOf(ServiceMethod method) {
        var annotation = method.method.getAnnotation(SystemMessage.class);
        if (annotation == null) {
            annotation = method.method.getDeclaringClass().getAnnotation(SystemMessage.class);
        }
        return annotation == null ? null : annotation.value();
    }

    private Object result(ServiceMethod method, String session, String text) {
        var type = method.result;
        var turn = turn(method, session, text);
        if (isText(type)) {
            var answer = turn.run();
            return type == Answer.class ? answer : type == void.class ? null : answer.text();
        }
        turn.options().format(type);
        return turn.run(answer -> answer.as(type));
    }

    private static boolean isText(Type type) {
        return type == String.class || type == CharSequence.class || type == Answer.class || type == void.class || type == Void.class;
    }

    /** The parts of a service. */
    public static final class Builder<T> {
        private final Class<T> type;
        private Model model;
        private Tools tools = Tools.of();
        private Memory memory;
        private Consumer<? super CallOptions> options = given -> {};
        private int maxSteps = 10;
        private Executor executor;

        private Builder(Class<T> type) {
            this.type = type;
        }

        /** The model that answers. */
        public Builder<T> model(Model value) {
            model = value;
            return this;
        }

        /** Objects with methods that the model may call: see {@link Tool}. */
        public Builder<T> tools(Object... objects) {
            tools = Tools.of(objects);
            return this;
        }

        /** Keeps the conversations. Without one, a call knows nothing of those before. */
        public Builder<T> memory(Memory value) {
            memory = value;
            return this;
        }

        /** The options of each call of the model. */
        public Builder<T> options(Consumer<? super CallOptions> value) {
            options = value;
            return this;
        }

        /** The most calls of the model in one turn; 10. */
        public Builder<T> maxSteps(int value) {
            maxSteps = value;
            return this;
        }

        /** The executor of methods that return futures or publishers. */
        public Builder<T> executor(Executor value) {
            executor = value;
            return this;
        }

        /**
         * Returns the object.
         *
         * @throws IllegalArgumentException for an interface with a method that can't be called, and says why
         */
        public T build() {
            var service = new AiService(this);
            return ServiceMethod.proxy(type, type.getSimpleName() + "[model=" + service.model.name() + "]", new ServiceMethod.Runner() {
                @Override
                public Object run(ServiceMethod method, Object[] arguments) {
                    return service.run(method, arguments);
                }

                @Override
                public void check(ServiceMethod method) {
                    service.check(method);
                }
            });
        }
    }

    private void check(ServiceMethod method) {
        boolean isStreamed = method.delivery == ServiceMethod.Delivery.STREAM || method.delivery == ServiceMethod.Delivery.PUBLISHER;
        try {
            if (isStreamed && method.result != String.class) {
                throw new IllegalArgumentException(method.method + " streams pieces of text: let it return EventStream<String> or Publisher<String>.");
            }
            if (!isText(method.result)) {
                JsonSchema.of(method.result);
            }
        } catch (JsonException error) {
            throw new IllegalArgumentException(method.method + " can't be called: " + error.getMessage());
        }
    }
}
