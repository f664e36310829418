package ai.llmos.internal;

import java.util.concurrent.Executor;

/** The executor of services whose owner gave none. Its threads don't keep the program alive. */
public final class Holder {
    private static final Executor EXECUTOR = AsyncRunner.newExecutor();

    private Holder() {}

    public static Executor executor() {
        return EXECUTOR;
    }
}
