package ai.llmos;

import ai.llmos.internal.Source;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;

/**
 * Values as they arrive. Iterate to the end, once, or close it: the server stops then. Another thread may close it, too, which
 * ends the iteration.
 */
public class EventStream<T> implements Iterable<T>, Iterator<T>, AutoCloseable {
    private final Source<? extends T> source;
    private T following;
    private boolean hasEnded;
    private volatile boolean isClosed;

    /** Makes one; the client does. */
    public EventStream(Source<? extends T> source) {
        this.source = source;
    }

    @Override
    public boolean hasNext() {
        if (following == null && !hasEnded && !isClosed) {
            following = read();
            hasEnded = following == null;
        }
        return following != null && !isClosed;
    }

    private T read() {
        try {
            var value = source.next();
            if (value == null) {
                source.close();
            }
            return value;
        } catch (RuntimeException error) {
            hasEnded = true;
            source.close();
            if (isClosed) {
                return null;
            }
            throw error;
        }
    }

    @Override
    public T next() {
        if (!hasNext()) {
            throw new NoSuchElementException("The stream has ended.");
        }
        var value = following;
        following = null;
        return value;
    }

    @Override
    public Iterator<T> iterator() {
        return this;
    }

    /** Returns the values that are still to come. Closing that stream closes this one. */
    public Stream<T> stream() {
        return StreamSupport.stream(spliterator(), false).onClose(this::close);
    }

    /** Stops: the server cancels the rest. Closing twice does nothing. */
    @Override
    public void close() {
        isClosed = true;
        source.close();
    }
}
