package ai.llmos.internal;

import ai.llmos.schemas.JobDescription;

/** The states of a job, which is asked for four times a second. */
public final class JobFollowing implements Source<JobDescription> {
    private static final double INTERVAL_SECONDS = 0.25;

    private final Transport transport;
    private final String id;
    private JobDescription seen;
    private volatile boolean isClosed;

    public JobFollowing(Transport transport, String id) {
        this.transport = transport;
        this.id = id;
    }

    @Override
    public JobDescription next() {
        while (!isClosed && (seen == null || seen.endedAt() == null)) {
            if (seen != null) {
                transport.pause(INTERVAL_SECONDS);
            }
            var job = transport.request(Call.of("GET", "/llmos/v1/jobs/" + Call.segment(id, ""), null, Call.one(JobDescription.class)));
            if (!job.equals(seen)) {
                seen = job;
                return job;
            }
        }
        return null;
    }

    @Override
    public void close() {
        isClosed = true;
    }
}
