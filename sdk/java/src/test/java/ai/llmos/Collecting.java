package ai.llmos;

import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.Flow;
import java.util.concurrent.TimeUnit;

/** Keeps what a publisher gives. */
final class Collecting<T> implements Flow.Subscriber<T> {
    final List<T> items = new CopyOnWriteArrayList<>();
    final CompletableFuture<List<T>> end = new CompletableFuture<>();
    final CompletableFuture<Void> first = new CompletableFuture<>();
    volatile Flow.Subscription subscription;
    private final long demand;

    Collecting(long demand) {
        this.demand = demand;
    }

    @Override
    public void onSubscribe(Flow.Subscription given) {
        subscription = given;
        if (demand > 0) {
            given.request(demand);
        }
    }

    @Override
    public void onNext(T item) {
        items.add(item);
        first.complete(null);
    }

    @Override
    public void onError(Throwable error) {
        end.completeExceptionally(error);
    }

    @Override
    public void onComplete() {
        end.complete(items);
    }

    List<T> all() throws Exception {
        return end.get(20, TimeUnit.SECONDS);
    }
}
