package ai.llmos;

import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.Optional;
import java.util.function.Supplier;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;

/**
 * A part of a long list. Iterating goes on to the following pages, which are asked for when they are needed.
 *
 * <pre>{@code
 * for (var answer : llmos.answers().list()) {
 *     System.out.println(answer.id());
 * }
 * }</pre>
 */
public final class Page<T> implements Iterable<T> {
    private final List<T> data;
    private final Supplier<Page<T>> following;

    /**
     * Makes one.
     *
     * @param following fetches the next page; null: this is the last one
     */
    public Page(List<T> data, Supplier<Page<T>> following) {
        this.data = List.copyOf(data);
        this.following = following;
    }

    /** Returns what is on this page alone. */
    public List<T> data() {
        return data;
    }

    /** Fetches the next page, if there is one. */
    public Optional<Page<T>> next() {
        return following == null ? Optional.empty() : Optional.of(following.get());
    }

    /** Returns all of the list, from this page on. */
    public Stream<T> stream() {
        return StreamSupport.stream(spliterator(), false);
    }

    @Override
    public Iterator<T> iterator() {
        return new Iterator<>() {
            private Page<T> page = Page.this;
            private int at;

            @Override
            public boolean hasNext() {
                while (at == page.data.size() && page.following != null) {
                    page = page.following.get();
                    at = 0;
                }
                return at < page.data.size();
            }

            @Override
            public T next() {
                if (!hasNext()) {
                    throw new NoSuchElementException();
                }
                return page.data.get(at++);
            }
        };
    }
}
