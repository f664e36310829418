package ai.llmos.nouns;

import ai.llmos.EventStream;
import ai.llmos.internal.JobFollowing;
import ai.llmos.internal.Transport;
import ai.llmos.schemas.EvalRunDetails;
import java.util.List;
import java.util.Map;

/** Evals that are run to their end. */
public abstract class EvalCalls extends Noun {
    EvalCalls(Transport transport) {
        super(transport);
    }

    /** Runs a suite to its end, and returns it with all answers: exitStatus() is 0 for passed. */
    public EvalRunDetails run(Map<String, ?> suite, List<String> models) {
        var started = one(EvalRunDetails.class, "POST", "/llmos/v1/evals", fields("suite", suite, "models", models));
        if (started.job() != null) {
            new EventStream<>(new JobFollowing(transport, started.job())).forEach(state -> {});
        }
        return one(EvalRunDetails.class, "GET", "/llmos/v1/evals/" + segment(started.id()), null);
    }
}
