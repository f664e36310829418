package ai.llmos;

import ai.llmos.internal.AsyncRunner;
import ai.llmos.internal.Call;
import ai.llmos.internal.Endpoint;
import ai.llmos.internal.Environment;
import ai.llmos.internal.Options;
import ai.llmos.internal.Transport;
import ai.llmos.internal.Waiting;
import ai.llmos.nouns.Nouns;
import ai.llmos.schemas.VersionDetails;
import ai.llmos.service.AppProxy;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.Executor;
import java.util.concurrent.ExecutorService;

/**
 * A connection to one LLMOS server. It may be used by any number of threads.
 *
 * <pre>{@code
 * try (var llmos = LLMOS.fromEnv()) {
 *     System.out.println(llmos.models().get("dialogue").generateText("The meaning of life is").text());
 * }
 * }</pre>
 *
 * <p>The server is LLMOS_ENDPOINT, by default {@code http://127.0.0.1:8000}; the key is LLMOS_API_KEY or, for a server on this
 * machine alone, the owner's key in LLMOS_HOME. Closing it closes its connections, and stops calls that still run.
 */
public final class LLMOS extends Nouns implements AutoCloseable {
    /** The version of this client. */
    public static final String VERSION = "0.1.0";

    private final Executor executor;
    private ExecutorService ownExecutor;

    private LLMOS(Builder builder) {
        super(builder.transport());
        executor = builder.executor;
    }

    /** Returns a client of the server and with the key that the environment says. */
    public static LLMOS fromEnv() {
        return builder().build();
    }

    /** Returns a builder of clients with other options. */
    public static Builder builder() {
        return new Builder();
    }

    /** Returns the address of the server. */
    public String endpoint() {
        return transport.endpoint().url();
    }

    /** Returns the models that are stored on the server. */
    public Models models() {
        return new Models(transport);
    }

    /** Returns a model whose description is known. */
    Model modelNamed(VersionDetails info) {
        return new Model(transport, info);
    }

    /**
     * Returns a deployed application as an interface of yours: each call of its method is a run.
     *
     * <pre>{@code
     * interface Support {
     *     Reply ask(@Session String user, String text);
     * }
     * Reply reply = llmos.app("support", Support.class).ask("u42", "Where is AB123456?");
     * }</pre>
     */
    public <T> T app(String name, Class<T> type) {
        return AppProxy.of(this, name, type);
    }

    /** Returns the decoded JSON that a path of the API is answered with, for what has no method here. body: null for none. */
    public Object request(String method, String path, Object body) {
        return transport.request(Call.of(method, path, body, reply -> reply));
    }

    /** Returns the same calls with futures. */
    public AsyncLLMOS async() {
        return new AsyncLLMOS(this, new AsyncRunner(executor()));
    }

    private synchronized Executor executor() {
        if (executor != null) {
            return executor;
        }
        if (ownExecutor == null) {
            ownExecutor = AsyncRunner.newExecutor();
        }
        return ownExecutor;
    }

    @Override
    public void close() {
        transport.close();
        synchronized (this) {
            if (ownExecutor != null) {
                ownExecutor.shutdownNow();
            }
        }
    }

    @Override
    public String toString() {
        return "LLMOS[endpoint=" + endpoint() + "]";
    }

    /** The options of a client. */
    public static final class Builder {
        private String endpoint;
        private String apiKey;
        private Path ca;
        private Duration timeout = Duration.ofSeconds(600);
        private Duration connectTimeout = Duration.ofSeconds(5);
        private int maxRetries = 2;
        private long maxReplyBytes = 256L << 20;
        private Executor executor;
        private Environment environment = Environment.ofProcess();
        private Waiting waiting = Waiting::sleep;

        private Builder() {}

        /** The address of the server, such as {@code http://127.0.0.1:8000}. */
        public Builder endpoint(String value) {
            endpoint = value;
            return this;
        }

        /** The key to send. */
        public Builder apiKey(String value) {
            apiKey = value;
            return this;
        }

        /** The file of the certificates to trust in place of the system's. */
        public Builder ca(Path value) {
            ca = value;
            return this;
        }

        /** The time for which the server may send nothing; 600 seconds. */
        public Builder timeout(Duration value) {
            timeout = value;
            return this;
        }

        /** The time that connecting may take; 5 seconds. */
        public Builder connectTimeout(Duration value) {
            connectTimeout = value;
            return this;
        }

        /** The number of times that a call is tried again after 408, 409, 429, 5xx or a lost connection; 2. */
        public Builder maxRetries(int value) {
            maxRetries = value;
            return this;
        }

        /** The largest reply that is kept in memory; 256 MiB. */
        public Builder maxReplyBytes(long value) {
            maxReplyBytes = Math.min(value, Integer.MAX_VALUE - 64);
            return this;
        }

        /** The executor of the calls of {@link LLMOS#async}; by default virtual threads, before Java 21 a cached pool. */
        public Builder executor(Executor value) {
            executor = value;
            return this;
        }

        /** The environment variables, for tests. */
        Builder environment(java.util.Map<String, String> variables) {
            environment = new Environment(variables);
            return this;
        }

        /** Waits between attempts, for tests. */
        Builder waiting(Waiting value) {
            waiting = value;
            return this;
        }

        /** Returns the client. Throws a BadRequestException for an address, a key or certificates that can't be used. */
        public LLMOS build() {
            return new LLMOS(this);
        }

        private Transport transport() {
            var options = new Options(timeout.toMillis() / 1000.0, connectTimeout.toMillis() / 1000.0, maxRetries, maxReplyBytes);
            return new Transport(Endpoint.resolve(endpoint, apiKey, ca, environment), options, environment, waiting, VERSION);
        }
    }
}
