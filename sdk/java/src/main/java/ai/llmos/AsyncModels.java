package ai.llmos;

import ai.llmos.internal.AsyncRunner;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/** The models that are stored on the server, with futures. Its other calls: {@link AsyncLLMOS#call}. */
public final class AsyncModels {
    private final AsyncRunner async;
    private final Models blocking;

    AsyncModels(AsyncRunner async, Models blocking) {
        this.async = async;
        this.blocking = blocking;
    }

    /** Returns every version on the server. */
    public CompletableFuture<List<AsyncModel>> list() {
        return async.run(() -> blocking.list().stream().map(each -> new AsyncModel(async, each)).toList());
    }

    /** Returns the model behind a route's or a model's name. */
    public CompletableFuture<AsyncModel> get(String name) {
        return async.run(() -> new AsyncModel(async, blocking.get(name)));
    }
}
