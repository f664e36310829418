import ai.llmos.LLMOS;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;

/** Makes calls, so many at a time, and prints the seconds: Calls CALLS CONCURRENCY. */
public final class Calls {
    public static void main(String[] arguments) throws Exception {
        var left = new AtomicInteger(Integer.parseInt(arguments[0]));
        try (var llmos = LLMOS.fromEnv()) {
            var model = llmos.models().get("dialogue");
            List<Thread> threads = new ArrayList<>();
            long started = System.nanoTime();
            for (int i = 0; i < Integer.parseInt(arguments[1]); i++) {
                var thread = new Thread(() -> {
                    while (left.getAndDecrement() > 0) {
                        model.generateText("Hi", options -> options.maxTokens(2));
                    }
                });
                thread.start();
                threads.add(thread);
            }
            for (var thread : threads) {
                thread.join();
            }
            System.out.println((System.nanoTime() - started) / 1e9);
        }
    }
}
