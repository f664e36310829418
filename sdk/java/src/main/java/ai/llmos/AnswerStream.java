package ai.llmos;

import ai.llmos.internal.Call;
import ai.llmos.internal.Source;
import ai.llmos.internal.StreamedReply;
import ai.llmos.internal.Transport;
import ai.llmos.json.JsonException;
import java.util.List;
import java.util.Optional;
import java.util.function.BiFunction;

/**
 * The pieces of an answer's text as the model generates them. Iterate to the end, or close it to stop the model.
 *
 * <pre>{@code
 * try (var stream = model.streamText("Tell me a story.")) {
 *     for (var piece : stream) {
 *         System.out.print(piece);
 *     }
 *     System.out.println(stream.answer().usage());
 * }
 * }</pre>
 */
public final class AnswerStream extends EventStream<String> {
    private final Draft draft;

    private AnswerStream(Draft draft, Pieces pieces) {
        super(pieces);
        this.draft = draft;
    }

    static AnswerStream open(Transport transport, Call<?> call, String model, BiFunction<Draft, Object, String> readEvent) {
        var draft = new Draft(model);
        return new AnswerStream(draft, new Pieces(new StreamedReply(transport, call), draft, readEvent));
    }

    /** Returns all pieces so far, joined. It stays when the stream fails. */
    public String text() {
        synchronized (draft) {
            return draft.text.toString();
        }
    }

    /** Returns the model's reasoning so far, if its template marks it. */
    public String reasoning() {
        synchronized (draft) {
            return draft.reasoning.toString();
        }
    }

    /** Returns the tool calls so far; the arguments of the last one are complete when the answer is. */
    public List<ToolCall> toolCalls() {
        synchronized (draft) {
            return List.copyOf(draft.toolCalls);
        }
    }

    /** Returns why the answer ended, once it has. */
    public Optional<String> finishReason() {
        synchronized (draft) {
            return Optional.ofNullable(draft.finishReason);
        }
    }

    /** Returns the tokens of the call, once the answer has ended. */
    public Optional<Usage> usage() {
        synchronized (draft) {
            return Optional.ofNullable(draft.usage);
        }
    }

    /**
     * Returns the complete answer, after the last piece.
     *
     * @throws IllegalStateException before that, and if the stream was closed earlier
     */
    public Answer answer() {
        try {
            return draft.finished();
        } catch (JsonException error) {
            throw new IllegalStateException("The answer isn't complete: read the stream to its end first.");
        }
    }

    /** Reads the rest of the answer, and returns all of it. */
    public Answer readAll() {
        while (hasNext()) {
            next();
        }
        return answer();
    }

    private record Pieces(StreamedReply reply, Draft draft, BiFunction<Draft, Object, String> readEvent) implements Source<String> {
        @Override
        public String next() {
            while (true) {
                var event = reply.next(draft.hasBegun());
                try {
                    if (event == null) {
                        reply.endedEarly(draft.hasBegun());
                    } else if (event.equals(StreamedReply.DONE)) {
                        draft.finished();
                        reply.finish();
                        return null;
                    } else {
                        var piece = readEvent.apply(draft, event);
                        if (!piece.isEmpty()) {
                            return piece;
                        }
                    }
                } catch (JsonException error) {
                    reply.malformed();
                }
            }
        }

        @Override
        public void close() {
            reply.close();
        }
    }
}
