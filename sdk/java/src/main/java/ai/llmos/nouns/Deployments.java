// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.nouns;

import ai.llmos.schemas.*;
import ai.llmos.Settings;
import ai.llmos.internal.Transport;
import java.util.List;
import java.util.function.Consumer;

/** The versions that the server runs. */
public final class Deployments extends Noun {
    /** Makes it; the client does. */
    public Deployments(Transport transport) {
        super(transport);
    }

    /** Returns the deployments, and the other versions that run. */
    public List<DeploymentDescription> list() {
        return each(DeploymentDescription.class, "GET", "/llmos/v1/deployments", null);
    }

    /** Returns a deployment. Throws NotFoundException for a version that isn't deployed. */
    public DeploymentDescription get(String name) {
        return one(DeploymentDescription.class, "GET", "/llmos/v1/deployments/" + ref(name), null);
    }

    /** Deploys a version, or changes its deployment. Returns at once; it may load for a while. */
    public DeploymentDescription deploy(String name) {
        return deploy(name, given -> {});
    }

    /** Deploys a version, or changes its deployment. Returns at once; it may load for a while. */
    public DeploymentDescription deploy(String name, Consumer<DeploymentSettings> settings) {
        return one(DeploymentDescription.class, "PUT", "/llmos/v1/deployments/" + ref(name), merged(Settings.of(new DeploymentSettings(), settings).toMap()));
    }

    /** Changes the number of replicas. */
    public DeploymentDescription scale(String name, long replicas) {
        return one(DeploymentDescription.class, "POST", "/llmos/v1/deployments/" + ref(name) + "/scale", fields("replicas", replicas));
    }

    /** Sets between which numbers the replicas follow the load. */
    public DeploymentDescription scaleBetween(String name, long minReplicas, long maxReplicas) {
        return one(DeploymentDescription.class, "POST", "/llmos/v1/deployments/" + ref(name) + "/scale", fields("min_replicas", minReplicas, "max_replicas", maxReplicas));
    }

    /** Unloads a version after its running requests finish; the next request loads it again. */
    public DeploymentDescription stop(String name) {
        return one(DeploymentDescription.class, "POST", "/llmos/v1/deployments/" + ref(name) + "/sleep", fields());
    }

    /** Loads a version that is asleep. */
    public DeploymentDescription wake(String name) {
        return one(DeploymentDescription.class, "POST", "/llmos/v1/deployments/" + ref(name) + "/wake", fields());
    }

    /** Returns what happened to a deployment, newest first. */
    public List<DeploymentEventDescription> history(String name) {
        return each(DeploymentEventDescription.class, "GET", "/llmos/v1/deployments/" + ref(name) + "/history", null);
    }

    /** Undeploys a version, and stops it after its running requests finish. */
    public void remove(String name) {
        none("DELETE", "/llmos/v1/deployments/" + ref(name), null);
    }
}
