// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.nouns;

import ai.llmos.schemas.*;
import ai.llmos.Page;
import ai.llmos.internal.Transport;
import java.util.Map;

/** Long work on the server. It goes on whether or not a client follows it. */
public final class Jobs extends JobCalls {
    /** Makes it; the client does. */
    public Jobs(Transport transport) {
        super(transport);
    }

    /** Starts a job and returns it: pull, push, quantize, prune, card, encrypt, verify or replay, with the fields of its kind. */
    public JobDescription start(String kind, Map<String, ?> fields) {
        return one(JobDescription.class, "POST", "/llmos/v1/jobs", merged(fields, "kind", kind));
    }

    /** Returns the jobs, newest first. */
    public Page<JobDescription> list() {
        return ids(JobDescription.class, "/llmos/v1/jobs", fields());
    }

    /** Returns the jobs, newest first. */
    public Page<JobDescription> list(String kind, String state) {
        return ids(JobDescription.class, "/llmos/v1/jobs", fields("kind", kind, "state", state));
    }

    /** Returns a job. */
    public JobDescription get(String id) {
        return one(JobDescription.class, "GET", "/llmos/v1/jobs/" + segment(id), null);
    }

    /** Cancels a job. Throws a conflict if it has ended. */
    public JobDescription cancel(String id) {
        return one(JobDescription.class, "POST", "/llmos/v1/jobs/" + segment(id) + "/cancel", fields());
    }
}
