import ai.llmos.LLMOS;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Flow;

/** Opens streams, and prints the bytes of the heap that are used when each has given its first piece: Streams NUMBER. */
public final class Streams {
    public static void main(String[] arguments) throws Exception {
        int num = Integer.parseInt(arguments[0]);
        var begun = new CountDownLatch(num);
        try (var llmos = LLMOS.fromEnv()) {
            var model = llmos.async().models().get("dialogue").get();
            for (int i = 0; i < num; i++) {
                model.streamText("Hi").subscribe(new Flow.Subscriber<String>() {
                    @Override
                    public void onSubscribe(Flow.Subscription subscription) {
                        subscription.request(Long.MAX_VALUE);
                    }

                    @Override
                    public void onNext(String piece) {
                        begun.countDown();
                    }

                    @Override
                    public void onError(Throwable error) {
                        if (begun.getCount() > 0) {
                            error.printStackTrace();
                            System.exit(1);
                        }
                    }

                    @Override
                    public void onComplete() {}
                });
            }
            begun.await();
            System.gc();
            var runtime = Runtime.getRuntime();
            System.out.println(runtime.totalMemory() - runtime.freeMemory());
        }
    }
}
