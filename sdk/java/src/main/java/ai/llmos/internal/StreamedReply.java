package ai.llmos.internal;

import ai.llmos.errors.LLMOSException;
import ai.llmos.json.Json;
import ai.llmos.json.JsonException;
import java.io.IOException;
import java.util.Map;

/** The events of an answer, across attempts: what fails before the caller has seen anything is tried again. */
public final class StreamedReply implements AutoCloseable {
    /** The event that ends an answer of a model. */
    public static final String DONE = "[DONE]";

    private final Transport transport;
    private final Call<?> call;
    private final Transport.Attempts attempts;
    private final byte[] buffer = new byte[2 << 10];
    private volatile Exchange exchange;
    private volatile boolean isClosed;
    private EventDecoder decoder;

    /** Opens the answer. Throws the server's error if it doesn't accept the call. */
    public StreamedReply(Transport transport, Call<?> call) {
        this.transport = transport;
        this.call = call;
        attempts = transport.new Attempts();
        open();
    }

    private void open() {
        decoder = new EventDecoder(transport.options().maxReplyBytes());
        exchange = transport.open(call, attempts);
        if (isClosed) {
            exchange.close();
        }
        if (!exchange.response().header("content-type").orElse("").startsWith("text/event-stream")) {
            close();
            attempts.failed(new JsonException("no events"), false);
        }
    }

    /**
     * Returns the next event: decoded JSON, or {@link #DONE}; null at the end of the answer.
     *
     * @param hasEmitted the caller has seen a part of the answer, which another attempt might contradict
     */
    public Object next(boolean hasEmitted) {
        while (true) {
            try {
                return read();
            } catch (IOException | JsonException | LLMOSException failure) {
                retry(failure, hasEmitted);
            }
        }
    }

    private Object read() throws IOException {
        var data = decoder.poll();
        while (data == null) {
            int num = exchange.body().read(buffer);
            if (num < 0) {
                return null;
            }
            decoder.feed(buffer, num);
            data = decoder.poll();
        }
        if (data.equals(DONE)) {
            return DONE;
        }
        var event = Json.read(data);
        if (event instanceof Map<?, ?> map && map.get("error") instanceof Map<?, ?> error) {
            throw Failures.ofError(error, 500, exchange.response().header("x-request-id").orElse(null), null);
        }
        return event;
    }

    /** Goes on with another attempt after a failure, or throws its error. */
    public void retry(Exception failure, boolean hasEmitted) {
        exchange.close();
        // One that was closed isn't opened again.
        attempts.failed(failure, hasEmitted || isClosed);
        open();
    }

    /** Throws the error of an answer that ended too early, unless another attempt can be made. */
    public void endedEarly(boolean hasEmitted) {
        retry(new WireException("the stream ended before the answer did"), hasEmitted);
    }

    /** Throws the error of a reply that isn't one of an LLMOS server. */
    public void malformed() {
        retry(new JsonException("malformed"), true);
    }

    /** Reads what is left, so that the connection can be used again. */
    public void finish() {
        try {
            while (exchange.body().read(buffer) >= 0) {
                // The answer is complete either way.
            }
        } catch (IOException error) {
            // The connection isn't used again then.
        }
        close();
    }

    public String requestId() {
        return exchange.response().header("x-request-id").orElse(null);
    }

    @Override
    public void close() {
        isClosed = true;
        if (exchange != null) {
            exchange.close();
        }
    }
}
