// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.nouns;

import ai.llmos.schemas.*;
import ai.llmos.Settings;
import ai.llmos.internal.Transport;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

/** The applications of the key's project: their versions, what is deployed, and their runs. */
public final class Apps extends AppCalls {
    /** Makes it; the client does. */
    public Apps(Transport transport) {
        super(transport, "/llmos/v1/apps");
    }

    /** Returns every version. */
    public List<AppDescription> list() {
        return each(AppDescription.class, "GET", "/llmos/v1/apps", null);
    }

    /** Returns a version with its files and app.yaml. */
    public AppVersionDescription get(String name) {
        return one(AppVersionDescription.class, "GET", "/llmos/v1/apps/" + ref(name), null);
    }

    /** Returns the files, the fields of app.yaml and the prompts that differ. */
    public Map<String, Object> diff(String older, String newer) {
        return map("GET", "/llmos/v1/apps/" + ref(older) + "/diff" + query(fields("to", newer)), null);
    }

    /** Removes an application (NAME), a version (NAME&#64;3) or an alias (NAME:ALIAS). */
    public RemovalDescription remove(String name) {
        return one(RemovalDescription.class, "DELETE", "/llmos/v1/apps/" + ref(name), null);
    }

    /** Lets the server run a version, by default the newest. Returns when it answers, or can't. */
    public AppDeploymentDescription deploy(String name) {
        return one(AppDeploymentDescription.class, "POST", "/llmos/v1/apps/" + ref(name) + "/deploy", fields());
    }

    /** Lets the server run a version, by default the newest. Returns when it answers, or can't. */
    public AppDeploymentDescription deploy(String name, Long version, String alias) {
        return one(AppDeploymentDescription.class, "POST", "/llmos/v1/apps/" + ref(name) + "/deploy", fields("version", version, "alias", alias));
    }

    /** Ends an application with its last run. */
    public AppDeploymentDescription stop(String name) {
        return one(AppDeploymentDescription.class, "POST", "/llmos/v1/apps/" + ref(name) + "/stop", fields());
    }

    /** Returns what is deployed, and how it is. */
    public AppDeploymentDescription deployment(String name) {
        return one(AppDeploymentDescription.class, "GET", "/llmos/v1/apps/" + ref(name) + "/deployment", null);
    }

    /** Returns the applications that were deployed. */
    public List<AppDeploymentDescription> deployments() {
        return each(AppDeploymentDescription.class, "GET", "/llmos/v1/app-deployments", null);
    }

    /** Returns the answer to an input, or the run that waits. */
    public RunResult run(String name, Object input) {
        return run(name, input, given -> {});
    }

    /** Returns the answer to an input, or the run that waits. */
    public RunResult run(String name, Object input, Consumer<RunSettings> settings) {
        return one(RunResult.class, "POST", "/llmos/v1/apps/" + ref(name) + "/runs", merged(Settings.of(new RunSettings(), settings).toMap(), "input", input));
    }

    /** Continues a run. The value is what it waits for, such as true for an approval. */
    public RunResult resume(String name, String run) {
        return one(RunResult.class, "POST", "/llmos/v1/apps/" + ref(name) + "/runs/" + segment(run) + "/resume", fields());
    }

    /** Continues a run. The value is what it waits for, such as true for an approval. */
    public RunResult resume(String name, String run, Object value) {
        return one(RunResult.class, "POST", "/llmos/v1/apps/" + ref(name) + "/runs/" + segment(run) + "/resume", fields("value", value));
    }
}
