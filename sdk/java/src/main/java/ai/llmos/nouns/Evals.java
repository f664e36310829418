// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.nouns;

import ai.llmos.schemas.*;
import ai.llmos.internal.Transport;
import java.util.List;
import java.util.Map;

/** Runs of suites of cases, with verdicts. */
public final class Evals extends EvalCalls {
    /** Makes it; the client does. */
    public Evals(Transport transport) {
        super(transport);
    }

    /** Starts a run of a suite, whose job can be followed. */
    public EvalRunDetails start(Map<String, ?> suite, List<String> models) {
        return one(EvalRunDetails.class, "POST", "/llmos/v1/evals", fields("suite", suite, "models", models));
    }

    /** Starts a run of a suite, whose job can be followed. */
    public EvalRunDetails start(Map<String, ?> suite, List<String> models, Long repeat) {
        return one(EvalRunDetails.class, "POST", "/llmos/v1/evals", fields("suite", suite, "models", models, "repeat", repeat));
    }

    /** Starts a run of a dataset of cases. */
    public EvalRunDetails startOn(String dataset, List<String> models) {
        return one(EvalRunDetails.class, "POST", "/llmos/v1/evals", fields("dataset", dataset, "models", models));
    }

    /** Starts a run of a dataset of cases. */
    public EvalRunDetails startOn(String dataset, List<String> models, Long repeat) {
        return one(EvalRunDetails.class, "POST", "/llmos/v1/evals", fields("dataset", dataset, "models", models, "repeat", repeat));
    }

    /** Returns runs, newest first, without their cases. */
    public List<EvalRunDetails> list() {
        return each(EvalRunDetails.class, "GET", "/llmos/v1/evals", null);
    }

    /** Returns runs, newest first, without their cases. */
    public List<EvalRunDetails> list(String suite, Long limit) {
        return each(EvalRunDetails.class, "GET", "/llmos/v1/evals" + query(fields("suite", suite, "limit", limit)), null);
    }

    /** Returns a run with every case and answer, also while it runs. */
    public EvalRunDetails get(String id) {
        return one(EvalRunDetails.class, "GET", "/llmos/v1/evals/" + segment(id), null);
    }

    /** Compares two runs of the same cases: is the first better? */
    public EvalComparisonDescription compare(String first, String second) {
        return one(EvalComparisonDescription.class, "GET", "/llmos/v1/evals/" + segment(first) + "/comparison" + query(fields("to", second)), null);
    }

    /** Compares two runs of the same cases: is the first better? */
    public EvalComparisonDescription compare(String first, String second, Double notWorseBy) {
        return one(EvalComparisonDescription.class, "GET", "/llmos/v1/evals/" + segment(first) + "/comparison" + query(fields("to", second, "not_worse_by", notWorseBy)), null);
    }

    /** Removes a run with its answers, and returns what it was. */
    public EvalRunDetails remove(String id) {
        return one(EvalRunDetails.class, "DELETE", "/llmos/v1/evals/" + segment(id), null);
    }
}
