package ai.llmos;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Consumer;

/** Options of a call by their names. One that isn't set, or is null, gets the server's default. Its setters return itself. */
public abstract class Settings {
    private final Map<String, Object> values = new LinkedHashMap<>();

    /** Makes empty settings. */
    protected Settings() {}

    /** Sets an option. */
    protected final void put(String name, Object value) {
        if (value == null) {
            values.remove(name);
        } else {
            values.put(name, value);
        }
    }

    /** Sets an option that this version of the client doesn't know. */
    public final void set(String name, Object value) {
        put(name, value);
    }

    /** Returns a copy of the options that are set. */
    public final Map<String, Object> toMap() {
        return new LinkedHashMap<>(values);
    }

    /** Returns settings after a function has set its options. */
    public static <S extends Settings> S of(S settings, Consumer<? super S> given) {
        given.accept(settings);
        return settings;
    }
}
