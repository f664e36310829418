package ai.llmos.internal;

/** The source of the values of a stream. */
public interface Source<T> extends AutoCloseable {
    /** Returns the next value, or null at the end. */
    T next();

    /** May be called by any thread, and again. */
    @Override
    void close();
}
