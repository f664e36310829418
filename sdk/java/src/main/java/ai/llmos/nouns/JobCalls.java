package ai.llmos.nouns;

import ai.llmos.EventStream;
import ai.llmos.errors.Errors;
import ai.llmos.errors.LLMOSException;
import ai.llmos.errors.LLMOSException.Facts;
import ai.llmos.internal.Call;
import ai.llmos.internal.JobFollowing;
import ai.llmos.internal.Transport;
import ai.llmos.json.Binding;
import ai.llmos.schemas.JobDescription;
import java.util.Map;

/** Following jobs, and what they have made. */
public abstract class JobCalls extends Noun {
    JobCalls(Transport transport) {
        super(transport);
    }

    /** Returns the job now and after every change, until it has ended. Closing the stream doesn't cancel it. */
    public EventStream<JobDescription> follow(String id) {
        return new EventStream<>(new JobFollowing(transport, id));
    }

    /** Runs a job to its end and returns what it has made. Throws the error that it ended with. */
    static <T> T resultOf(Transport transport, Map<String, ?> request, Class<T> kind) {
        return Binding.read(resultOf(transport, request), kind);
    }

    /** Runs a job to its end and returns what it has made, decoded. Throws the error that it ended with. */
    static Map<String, Object> resultOf(Transport transport, Map<String, ?> request) {
        var job = transport.request(Call.of("POST", "/llmos/v1/jobs", request, Call.one(JobDescription.class)));
        for (var state : new EventStream<>(new JobFollowing(transport, job.id()))) {
            job = state;
        }
        if (job.error() != null) {
            throw Errors.of(new Facts(job.error().message(), 0, job.error().code(), job.error().param(), null, null));
        }
        if (job.result() == null) {
            throw new LLMOSException(Facts.local("internal_error", "The job " + job.id() + " was " + job.state() + "."));
        }
        return job.result();
    }
}
