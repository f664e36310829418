package ai.llmos.internal;

import ai.llmos.EventStream;
import java.util.concurrent.Flow;
import java.util.concurrent.Semaphore;
import java.util.function.Supplier;

/**
 * Gives the values of a stream to a subscriber, as many as it has asked for. What it hasn't asked for isn't read from the
 * connection, so that the server waits.
 */
final class StreamSubscription<T> implements Flow.Subscription, Runnable {
    private final Supplier<? extends EventStream<? extends T>> opening;
    private final Flow.Subscriber<? super T> subscriber;
    private final Semaphore demand = new Semaphore(0);
    private volatile boolean isCancelled;
    private volatile IllegalArgumentException mistake;
    private Thread runner;

    StreamSubscription(Supplier<? extends EventStream<? extends T>> opening, Flow.Subscriber<? super T> subscriber) {
        this.opening = opening;
        this.subscriber = subscriber;
    }

    @Override
    public void request(long num) {
        if (num <= 0) {
            mistake = new IllegalArgumentException("request(" + num + ") asks for nothing");
            stop();
            return;
        }
        // The sum of permits must stay below the largest int.
        int wanted = (int) Math.min(num, Integer.MAX_VALUE / 2);
        synchronized (demand) {
            if (demand.availablePermits() < Integer.MAX_VALUE / 2) {
                demand.release(wanted);
            }
        }
    }

    @Override
    public void cancel() {
        isCancelled = true;
        stop();
    }

    private synchronized void stop() {
        if (runner != null && runner != Thread.currentThread()) {
            runner.interrupt();
        }
    }

    @Override
    public void run() {
        synchronized (this) {
            runner = Thread.currentThread();
        }
        Throwable failure = null;
        try {
            deliver();
        } catch (InterruptedException interrupt) {
            failure = interrupt;
        } catch (RuntimeException | Error error) {
            failure = error;
        }
        synchronized (this) {
            runner = null;
            Thread.interrupted();
        }
        if (mistake != null) {
            subscriber.onError(mistake);
        } else if (!isCancelled && failure != null) {
            subscriber.onError(failure);
        } else if (!isCancelled) {
            subscriber.onComplete();
        }
    }

    private void deliver() throws InterruptedException {
        if (isCancelled || mistake != null) {
            return;
        }
        try (var stream = opening.get()) {
            while (!isCancelled && mistake == null && stream.hasNext()) {
                demand.acquire();
                subscriber.onNext(stream.next());
            }
        }
    }
}
