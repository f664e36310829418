package ai.llmos;

import ai.llmos.internal.AsyncRunner;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Flow.Publisher;
import java.util.function.Function;

/**
 * The calls of a client as futures, and its streams as publishers. A future that is cancelled stops the call, and with it the
 * server. Close the client that it came from.
 *
 * <pre>{@code
 * CompletableFuture<List<RouteDescription>> routes = llmos.async().call(client -> client.routes().list());
 * }</pre>
 */
public final class AsyncLLMOS {
    private final LLMOS blocking;
    private final AsyncRunner async;

    AsyncLLMOS(LLMOS blocking, AsyncRunner async) {
        this.blocking = blocking;
        this.async = async;
    }

    /** Returns the models that are stored on the server. */
    public AsyncModels models() {
        return new AsyncModels(async, blocking.models());
    }

    /** Returns the result of a call, or of several, one after the other, which run on a thread of their own. */
    public <T> CompletableFuture<T> call(Function<? super LLMOS, ? extends T> work) {
        return async.run(() -> work.apply(blocking));
    }

    /** Publishes the values of a stream, such as the events of a run. Each subscriber opens one of its own. */
    public <T> Publisher<T> publish(Function<? super LLMOS, ? extends EventStream<? extends T>> opening) {
        return async.publish(() -> opening.apply(blocking));
    }
}
