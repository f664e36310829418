package ai.llmos.internal;

import ai.llmos.json.Binding;
import ai.llmos.json.JsonException;
import ai.llmos.schemas.RunEvent;

/** The events of an application's run. The error of a run without an answer is thrown. */
public final class RunEvents implements Source<RunEvent> {
    private final StreamedReply reply;
    private boolean hasBegun;
    private boolean hasEnded;

    public RunEvents(StreamedReply reply) {
        this.reply = reply;
    }

    @Override
    public RunEvent next() {
        while (true) {
            var event = hasEnded ? null : reply.next(hasBegun);
            if (event != null) {
                hasBegun = true;
                return read(event);
            }
            if (hasEnded) {
                reply.finish();
                return null;
            }
            reply.endedEarly(hasBegun);
        }
    }

    private RunEvent read(Object event) {
        try {
            var read = Binding.read(event, RunEvent.class);
            hasEnded = read.type().equals("done");
            if (!hasEnded || read.run() != null) {
                return read;
            }
        } catch (JsonException error) {
            // The same as an event without its run.
        }
        reply.malformed();
        return null;
    }

    @Override
    public void close() {
        reply.close();
    }
}
