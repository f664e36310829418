package ai.llmos.nouns;

import ai.llmos.EventStream;
import ai.llmos.Settings;
import ai.llmos.internal.AppArchive;
import ai.llmos.internal.Call;
import ai.llmos.internal.Downloads;
import ai.llmos.internal.RunEvents;
import ai.llmos.internal.StreamedReply;
import ai.llmos.internal.Transport;
import ai.llmos.schemas.AppVersionDescription;
import ai.llmos.schemas.RunEvent;
import java.nio.file.Path;
import java.util.Map;
import java.util.function.Consumer;

/** Runs of applications as they go on, and what their processes print. */
public abstract class AppCalls extends VersionedNoun {
    AppCalls(Transport transport, String root) {
        super(transport, root);
    }

    /** Makes a version of a folder with app.yaml, or returns the one that is the same already. Nothing is run. */
    public AppVersionDescription create(Path folder) {
        return transport.request(new Call<>("POST", "/llmos/v1/apps", null, AppArchive.of(folder),
                Map.of("Content-Type", "application/x-tar"), Call.one(AppVersionDescription.class)));
    }

    /** Returns the events of a run; the last one has the run. Closing the stream cancels the run. */
    public EventStream<RunEvent> stream(String name, Object input) {
        return stream(name, input, settings -> {});
    }

    /** Returns the events of a run; the last one has the run. Closing the stream cancels the run. */
    public EventStream<RunEvent> stream(String name, Object input, Consumer<RunSettings> settings) {
        var body = merged(Settings.of(new RunSettings(), settings).toMap(), "input", input, "stream", true);
        var call = Call.of("POST", "/llmos/v1/apps/" + ref(name) + "/runs", body, reply -> null);
        return new EventStream<>(new RunEvents(new StreamedReply(transport, call)));
    }

    /** Returns the last lines that an application printed, and then those that come, until it is closed. */
    public EventStream<String> logs(String name, long lines, boolean follow) {
        var path = "/llmos/v1/apps/" + ref(name) + "/logs" + query(Map.of("lines", lines, "follow", follow));
        return new EventStream<>(new Downloads.Lines(transport, Call.of("GET", path, null, reply -> null)));
    }
}
