package ai.llmos.internal;

import ai.llmos.EventStream;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.Executors;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Flow;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Supplier;

/** Runs blocking calls on other threads: virtual ones where Java has them (21 and later), otherwise those of a cached pool. */
public final class AsyncRunner {
    private static final long STACK_BYTES = 256 << 10;

    private final Executor executor;

    public AsyncRunner(Executor executor) {
        this.executor = executor;
    }

    /** Returns the executor of a client whose owner gave none. */
    public static ExecutorService newExecutor() {
        try {
            return (ExecutorService) Executors.class.getMethod("newVirtualThreadPerTaskExecutor").invoke(null);
        } catch (ReflectiveOperationException | RuntimeException absent) {
            // Java before 21, or a runtime without them.
            return newPool();
        }
    }

    /** Returns a pool that grows with the calls. Its threads don't keep the program alive. */
    static ExecutorService newPool() {
        var number = new AtomicLong();
        return Executors.newCachedThreadPool(work -> {
            var thread = new Thread(null, work, "llmos-" + number.incrementAndGet(), STACK_BYTES);
            thread.setDaemon(true);
            return thread;
        });
    }

    /** Returns the result of work in time. A future that is cancelled, or completed by somebody else, stops the work. */
    public <T> CompletableFuture<T> run(Supplier<? extends T> work) {
        var task = new Task<T>(work);
        task.whenComplete((result, error) -> task.stop());
        executor.execute(task);
        return task;
    }

    /** Returns a publisher that opens a stream for each subscriber. */
    public <T> Flow.Publisher<T> publish(Supplier<? extends EventStream<? extends T>> opening) {
        return subscriber -> {
            var subscription = new StreamSubscription<T>(opening, subscriber);
            subscriber.onSubscribe(subscription);
            executor.execute(subscription);
        };
    }

    private static final class Task<T> extends CompletableFuture<T> implements Runnable {
        private final Supplier<? extends T> work;
        private Thread runner;

        Task(Supplier<? extends T> work) {
            this.work = work;
        }

        @Override
        public void run() {
            synchronized (this) {
                if (isDone()) {
                    return;
                }
                runner = Thread.currentThread();
            }
            T result = null;
            Throwable failure = null;
            try {
                result = work.get();
            } catch (Throwable error) {
                failure = error;
            }
            synchronized (this) {
                runner = null;
                // An interrupt that came too late must not hit the next work of this thread.
                Thread.interrupted();
            }
            if (failure == null) {
                complete(result);
            } else {
                completeExceptionally(failure);
            }
        }

        synchronized void stop() {
            if (runner != null) {
                runner.interrupt();
            }
        }
    }
}
