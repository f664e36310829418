// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.nouns;

import ai.llmos.schemas.*;
import ai.llmos.Settings;
import ai.llmos.internal.Transport;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

/** The names that callers ask for. */
public final class Routes extends Noun {
    /** Makes it; the client does. */
    public Routes(Transport transport) {
        super(transport);
    }

    /** Returns the routes. */
    public List<RouteDescription> list() {
        return each(RouteDescription.class, "GET", "/llmos/v1/routes", null);
    }

    /** Returns a route. Throws NotFoundException, with the nearest names, for an unknown one. */
    public RouteDescription get(String name) {
        return one(RouteDescription.class, "GET", "/llmos/v1/routes/" + segment(name), null);
    }

    /** Creates or replaces a route with one target: a model on the server, or remote:PROVIDER/MODEL. Takes effect with the next request. */
    public RouteDescription set(String name, String target) {
        return set(name, target, given -> {});
    }

    /** Creates or replaces a route with one target: a model on the server, or remote:PROVIDER/MODEL. Takes effect with the next request. */
    public RouteDescription set(String name, String target, Consumer<RouteSettings> settings) {
        return one(RouteDescription.class, "PUT", "/llmos/v1/routes/" + segment(name), merged(Settings.of(new RouteSettings(), settings).toMap(), "target", target));
    }

    /** Creates or replaces a route with several targets, and the percent of the calls that each gets. */
    public RouteDescription set(String name, Map<String, ? extends Number> targets) {
        return set(name, targets, given -> {});
    }

    /** Creates or replaces a route with several targets, and the percent of the calls that each gets. */
    public RouteDescription set(String name, Map<String, ? extends Number> targets, Consumer<RouteSettings> settings) {
        return one(RouteDescription.class, "PUT", "/llmos/v1/routes/" + segment(name), merged(Settings.of(new RouteSettings(), settings).toMap(), "targets", weights(targets)));
    }

    /** Changes the percent of the calls that each target gets. */
    public RouteDescription setWeights(String name, Map<String, ? extends Number> targets, String reason) {
        return one(RouteDescription.class, "PUT", "/llmos/v1/routes/" + segment(name) + "/weights", fields("targets", weights(targets), "reason", reason));
    }

    /** Returns the changes of a route, newest first. */
    public List<RouteMove> history(String name) {
        return each(RouteMove.class, "GET", "/llmos/v1/routes/" + segment(name) + "/history", null);
    }

    /** Returns the outcomes of a route's calls, by target. */
    public RouteEvidence evidence(String name) {
        return one(RouteEvidence.class, "GET", "/llmos/v1/routes/" + segment(name) + "/evidence", null);
    }

    /** Removes a route. */
    public void remove(String name) {
        none("DELETE", "/llmos/v1/routes/" + segment(name), null);
    }
}
