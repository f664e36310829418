// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.nouns;

import ai.llmos.Settings;
import java.util.List;
import java.util.Map;

/** The settings of one run. */
public final class RunSettings extends Settings {
    /** The conversation that it belongs to, by a name of your own. */
    public RunSettings session(String value) {
        put("session", value);
        return this;
    }

    /** The person whose data the run has, for erasures. */
    public RunSettings user(String value) {
        put("user", value);
        return this;
    }

    /** Values for variables of the application's prompt. */
    public RunSettings variables(Map<String, ?> value) {
        put("variables", value);
        return this;
    }

    /** The conversation before the input, instead of a session. */
    public RunSettings messages(List<? extends Map<String, ?>> value) {
        put("messages", value);
        return this;
    }

    /** Call no tools and cause no side effects. */
    public RunSettings dryRun(boolean value) {
        put("dry_run", value);
        return this;
    }

    /** Wait this long for another run in the session to end. */
    public RunSettings waitSeconds(double value) {
        put("wait_seconds", value);
        return this;
    }

    /** Sets priority. */
    public RunSettings priority(long value) {
        put("priority", value);
        return this;
    }
}
