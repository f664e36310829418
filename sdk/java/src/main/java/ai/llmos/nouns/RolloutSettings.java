// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.nouns;

import ai.llmos.Settings;
import java.util.List;
import java.util.Map;

/** The settings of a Rollout. One that is left out gets the server's default. */
public final class RolloutSettings extends Settings {
    /** Percents of the calls, rising to 100. */
    public RolloutSettings steps(List<Double> value) {
        put("steps", value);
        return this;
    }

    /** The condition of each step, such as "error_rate &lt;= 1% and p95_first_token &lt;= 1.5x". */
    public RolloutSettings gate(String value) {
        put("gate", value);
        return this;
    }

    /** The calls that each step needs before it is judged. */
    public RolloutSettings minCalls(long value) {
        put("min_calls", value);
        return this;
    }

    /** A step that can't be judged within this time is rolled back. */
    public RolloutSettings maxHoldSeconds(long value) {
        put("max_hold_seconds", value);
        return this;
    }

    /** Prompts with what a right answer contains, for the gate's score. */
    public RolloutSettings cases(List<? extends Map<String, ?>> value) {
        put("cases", value);
        return this;
    }

    /** Promote it even if its card fails a limit. */
    public RolloutSettings force(boolean value) {
        put("force", value);
        return this;
    }
}
