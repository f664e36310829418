package ai.llmos.service;

import ai.llmos.Answer;
import ai.llmos.AnswerStream;
import ai.llmos.CallOptions;
import ai.llmos.Message;
import ai.llmos.Model;
import ai.llmos.errors.LLMOSException;
import ai.llmos.internal.Source;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import java.util.function.Function;

/** One turn of a conversation: the model is asked, its calls are run, until it answers. */
final class Turn {
    private final Model model;
    private final Tools tools;
    private final CallOptions options;
    private final int maxSteps;
    private final List<Message> before;
    private final List<Message> turn = new ArrayList<>();
    private final Consumer<List<Message>> onComplete;
    private int numSteps;

    Turn(Model model, Tools tools, CallOptions options, int maxSteps, List<Message> before, Message question, Consumer<List<Message>> onComplete) {
        this.model = model;
        this.tools = tools;
        this.options = options;
        this.maxSteps = maxSteps;
        this.before = before;
        this.onComplete = onComplete;
        turn.add(question);
    }

    CallOptions options() {
        return options;
    }

    Answer run() {
        return run(Function.identity());
    }

    /** Runs the turn and returns what a function makes of its answer. The turn is kept if that fails, too: it is complete. */
    <R> R run(Function<Answer, R> reader) {
        var answer = model.chat(prompt(), options);
        while (!isComplete(answer)) {
            answer = model.chat(prompt(), options);
        }
        return reader.apply(answer);
    }

    private List<Message> prompt() {
        if (++numSteps > maxSteps) {
            throw new LLMOSException(LLMOSException.Facts.local("limit_reached",
                    "The model asked for tools " + maxSteps + " times without an answer. Allow more with maxSteps, or write clearer results of tools."));
        }
        List<Message> prompt = new ArrayList<>(before);
        prompt.addAll(turn);
        return prompt;
    }

    /** Takes an answer, and runs the calls in it. Returns whether there are none, so that the turn is complete. */
    private boolean isComplete(Answer answer) {
        turn.add(answer.message());
        for (var call : answer.toolCalls()) {
            // Every call gets a result, whatever becomes of it: without one, the conversation would be invalid.
            turn.add(tools.run(call));
        }
        if (!answer.toolCalls().isEmpty()) {
            return false;
        }
        onComplete.accept(turn);
        return true;
    }

    /** Returns the pieces of all answers of the turn, as they come. */
    Source<String> pieces() {
        return new Pieces();
    }

    private final class Pieces implements Source<String> {
        private volatile AnswerStream stream;
        private volatile boolean isClosed;
        private boolean hasEnded;

        @Override
        public String next() {
            while (!hasEnded && !isClosed) {
                if (stream == null) {
                    open();
                }
                if (stream.hasNext()) {
                    return stream.next();
                }
                if (isClosed) {
                    return null;
                }
                hasEnded = isComplete(stream.answer());
                stream = null;
            }
            return null;
        }

        private void open() {
            stream = model.streamChat(prompt(), options);
            if (isClosed) {
                stream.close();
            }
        }

        @Override
        public void close() {
            isClosed = true;
            var open = stream;
            if (open != null) {
                open.close();
            }
        }
    }
}
