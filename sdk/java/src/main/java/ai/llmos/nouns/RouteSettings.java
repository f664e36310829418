// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.nouns;

import ai.llmos.Settings;
import java.util.List;
import java.util.Map;

/** The settings of a Route besides its targets. One that is left out gets its default. */
public final class RouteSettings extends Settings {
    /** Tried in this order when a target fails before its first token. */
    public RouteSettings fallbacks(List<String> value) {
        put("fallbacks", value);
        return this;
    }

    /** &#123;"target", "percent"&#125;: also runs a share of the calls, to compare. */
    public RouteSettings shadow(Map<String, ?> value) {
        put("shadow", value);
        return this;
    }

    /** Calls with the same <code>user</code>, or of the same caller, always go to the same target. */
    public RouteSettings sticky(String value) {
        put("sticky", value);
        return this;
    }

    /** The limit for the first token, or for a whole answer that isn't streamed. */
    public RouteSettings timeoutSeconds(double value) {
        put("timeout_seconds", value);
        return this;
    }

    /** Give the same answer again to the same request of a project: at temperature 0, or with a seed. */
    public RouteSettings cache(boolean value) {
        put("cache", value);
        return this;
    }

    /** The reason, for the history. */
    public RouteSettings reason(String value) {
        put("reason", value);
        return this;
    }
}
