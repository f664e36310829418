// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.nouns;

import ai.llmos.schemas.*;
import ai.llmos.Settings;
import ai.llmos.internal.Transport;
import java.util.List;
import java.util.function.Consumer;

/** Routes that move to another version, in steps, on evidence. */
public final class Rollouts extends Noun {
    /** Makes it; the client does. */
    public Rollouts(Transport transport) {
        super(transport);
    }

    /** Returns the rollouts, newest first: all, or those of one route. */
    public List<RolloutDescription> list() {
        return each(RolloutDescription.class, "GET", "/llmos/v1/rollouts", null);
    }

    /** Returns the rollouts, newest first: all, or those of one route. */
    public List<RolloutDescription> list(String route) {
        return each(RolloutDescription.class, "GET", "/llmos/v1/rollouts" + query(fields("route", route)), null);
    }

    /** Returns a rollout. */
    public RolloutDescription get(long id) {
        return one(RolloutDescription.class, "GET", "/llmos/v1/rollouts/" + id, null);
    }

    /** Lets a version take a route over, step by step. */
    public RolloutDescription promote(String version, String route) {
        return promote(version, route, given -> {});
    }

    /** Lets a version take a route over, step by step. */
    public RolloutDescription promote(String version, String route, Consumer<RolloutSettings> settings) {
        return one(RolloutDescription.class, "POST", "/llmos/v1/rollouts", merged(Settings.of(new RolloutSettings(), settings).toMap(), "version", version, "route", route));
    }

    /** Returns the events of a rollout, oldest first. */
    public List<RolloutEventDescription> history(long id) {
        return each(RolloutEventDescription.class, "GET", "/llmos/v1/rollouts/" + id + "/history", null);
    }

    /** Undoes a route's last rollout at once. */
    public RolloutDescription rollBack(String route) {
        return one(RolloutDescription.class, "DELETE", "/llmos/v1/routes/" + segment(route) + "/rollout", null);
    }
}
