package ai.llmos.internal;

/** Waits between two attempts. Tests let no time pass. */
@FunctionalInterface
public interface Waiting {
    void seconds(double seconds) throws InterruptedException;

    static void sleep(double seconds) throws InterruptedException {
        Thread.sleep((long) (seconds * 1000));
    }
}
