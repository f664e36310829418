// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.nouns;

import ai.llmos.Settings;
import java.util.Map;

/** The settings of a Deployment. A setting that is left out gets the server's default. */
public final class DeploymentSettings extends Settings {
    /** A fixed number; or use min_replicas and max_replicas. */
    public DeploymentSettings replicas(long value) {
        put("replicas", value);
        return this;
    }

    /** Sets min_replicas. */
    public DeploymentSettings minReplicas(long value) {
        put("min_replicas", value);
        return this;
    }

    /** Sets max_replicas. */
    public DeploymentSettings maxReplicas(long value) {
        put("max_replicas", value);
        return this;
    }

    /** Unload it after this long without a request. */
    public DeploymentSettings idleSeconds(long value) {
        put("idle_seconds", value);
        return this;
    }

    /** Never unload it. */
    public DeploymentSettings keepWarm(boolean value) {
        put("keep_warm", value);
        return this;
    }

    /** Engine options that differ from the server's. */
    public DeploymentSettings options(Map<String, ?> value) {
        put("options", value);
        return this;
    }

    /** The machines that its replicas run on: None for the server's machine, <code>nodes</code> for any node, the name of a node, LABEL=VALUE, or the nodes that its layers are split over: <code>split</code>, or a:0-9,b:10-19, with a ! behind it also where one node has room for the model. */
    public DeploymentSettings placement(String value) {
        put("placement", value);
        return this;
    }

    /** Deploy it even if its card fails a limit. */
    public DeploymentSettings force(boolean value) {
        put("force", value);
        return this;
    }
}
