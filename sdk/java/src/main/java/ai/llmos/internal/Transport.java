package ai.llmos.internal;

import ai.llmos.errors.BadRequestException;
import ai.llmos.errors.LLMOSException;
import ai.llmos.errors.LLMOSException.Facts;
import ai.llmos.errors.RequestTimeoutException;
import ai.llmos.errors.UnknownServerException;
import ai.llmos.json.Json;
import ai.llmos.json.JsonException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.SocketTimeoutException;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.ThreadLocalRandom;

/**
 * Runs calls: retries, the owner's proof, and errors. The thread that calls does the input and output; to interrupt it closes
 * the connection, so that the server stops.
 */
public final class Transport implements AutoCloseable {
    private static final long MAX_ERROR_BYTES = 1 << 20;

    private final Endpoint endpoint;
    private final Options options;
    private final Connections connections;
    private final Failures failures;
    private final Retry retry;
    private final Waiting waiting;
    private final String userAgent;

    public Transport(Endpoint endpoint, Options options, Environment environment, Waiting waiting, String version) {
        this.endpoint = endpoint;
        this.options = options;
        this.waiting = waiting;
        failures = new Failures(endpoint, options);
        retry = new Retry(options.maxRetries(), () -> ThreadLocalRandom.current().nextDouble());
        userAgent = "llmos-java/" + version;
        try {
            connections = new Connections(endpoint, options, environment);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    public Endpoint endpoint() {
        return endpoint;
    }

    public Options options() {
        return options;
    }

    /** Returns the result of a call. */
    public <T> T request(Call<T> call) {
        var attempts = new Attempts();
        while (true) {
            try (var exchange = send(call)) {
                var body = exchange.readAll(options.maxReplyBytes());
                return call.reader().apply(body.length == 0 ? null : Json.read(body));
            } catch (IOException | JsonException | LLMOSException failure) {
                attempts.failed(failure, false);
            }
        }
    }

    /** Returns the answer to a call as it arrives, once the server has accepted the call. */
    public Exchange open(Call<?> call, Attempts attempts) {
        while (true) {
            try {
                return send(call);
            } catch (IOException | LLMOSException failure) {
                attempts.failed(failure, false);
            }
        }
    }

    /** Returns the error of an answer that can't be read any further. */
    public LLMOSException failed(IOException failure) {
        return failures.of(failure, true);
    }

    /** Lets some time pass. Throws the error of an interrupted call if the thread is interrupted. */
    public void pause(double seconds) {
        try {
            waiting.seconds(seconds);
        } catch (InterruptedException interrupt) {
            Thread.currentThread().interrupt();
            throw failures.ofInterrupt();
        }
    }

    @Override
    public void close() {
        connections.close();
    }

    /** The failures of one call so far. */
    public final class Attempts {
        private int numFailures;

        /** Waits before the next attempt, or throws the error if there is none. */
        public void failed(Exception failure, boolean hasEmitted) {
            var error = failures.of(failure, hasEmitted);
            numFailures++;
            // Not after a timeout: a second request doesn't help a server that is too busy for the first.
            boolean isFinal = hasEmitted || failure instanceof JsonException || failure instanceof Exchange.ReplyTooLarge
                    || (error instanceof RequestTimeoutException && error.status() == 0);
            var delay = isFinal ? java.util.OptionalDouble.empty() : retry.delaySeconds(error, numFailures);
            if (delay.isEmpty()) {
                throw error;
            }
            pause(delay.getAsDouble());
        }
    }

    private Exchange send(Call<?> call) throws IOException {
        var exchange = sendOnce(call);
        if (exchange.response().isSuccess()) {
            return exchange;
        }
        try (exchange) {
            throw failures.ofStatus(exchange.response(), exchange.readAll(MAX_ERROR_BYTES));
        }
    }

    private Exchange sendOnce(Call<?> call) throws IOException {
        var body = encoded(call);
        if (Thread.currentThread().isInterrupted()) {
            throw failures.ofInterrupt();
        }
        while (true) {
            var idle = connections.takeIdle();
            var connection = idle == null ? connections.open() : idle;
            try {
                return exchange(connection, call, body);
            } catch (IOException failure) {
                connections.discard(connection);
                // The server may have closed it while it was idle, and has not seen the request then.
                boolean wasGone = idle != null && !connection.hasBegunToAnswer() && !(failure instanceof SocketTimeoutException);
                if (!wasGone || Thread.currentThread().isInterrupted()) {
                    throw failure;
                }
            } catch (RuntimeException error) {
                connections.discard(connection);
                throw error;
            }
        }
    }

    private Exchange exchange(Connection connection, Call<?> call, byte[] body) throws IOException {
        prove(connection);
        var response = connection.exchange(call.method(), target(connection, call.path()), headers(connection, call), body);
        return new Exchange(connections, connection, response, call.method());
    }

    private String target(Connection connection, String path) {
        var target = endpoint.prefix() + path;
        return connection.isToProxy() ? "http://" + endpoint.uri().getRawAuthority() + target : target;
    }

    private Map<String, String> headers(Connection connection, Call<?> call) {
        Map<String, String> headers = new LinkedHashMap<>();
        headers.put("Host", host());
        headers.put("User-Agent", userAgent);
        headers.put("Accept", "*/*");
        if (endpoint.key() != null) {
            headers.put("Authorization", "Bearer " + endpoint.key());
        }
        if (call.body() != null) {
            headers.put("Content-Type", "application/json");
        }
        headers.putAll(call.headers());
        headers.putAll(connections.proxyHeaders(connection));
        return headers;
    }

    private String host() {
        var authority = endpoint.uri().getRawAuthority();
        return authority.substring(authority.lastIndexOf('@') + 1);
    }

    /** Asks the program behind a connection for the proof that it has the owner's key, once: it can't become another one. */
    private void prove(Connection connection) throws IOException {
        if (!endpoint.isOwnerKey() || connection.isProven) {
            return;
        }
        var challenge = OwnerProof.newChallenge();
        var asked = Map.of("Host", host(), "User-Agent", userAgent, OwnerProof.CHALLENGE_HEADER, challenge);
        var response = connection.exchange("GET", endpoint.prefix() + OwnerProof.PATH, asked, null);
        var body = connection.body(response, "GET");
        body.skip(MAX_ERROR_BYTES);
        var proof = response.header(OwnerProof.PROOF_HEADER).orElse("");
        connection.isProven = body.isComplete() && !response.closesConnection()
                && OwnerProof.isProof(proof, endpoint.key(), challenge, endpoint.port());
        if (!connection.isProven) {
            throw new UnknownServerException(Facts.local("unknown_server", "The program at " + endpoint.url()
                    + " didn't prove that it is your LLMOS server, so your key was not sent."
                    + " Start your server on another port (llmos serve --port PORT) and set LLMOS_ENDPOINT to it; or, if you"
                    + " trust what is there, set LLMOS_API_KEY to the key that it takes."));
        }
    }

    private static byte[] encoded(Call<?> call) {
        if (call.body() == null) {
            return call.content();
        }
        try {
            return Json.writeBytes(call.body());
        } catch (JsonException error) {
            throw new BadRequestException(Problems.about(null, error.getMessage()));
        }
    }
}
