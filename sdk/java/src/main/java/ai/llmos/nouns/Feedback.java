// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.nouns;

import ai.llmos.schemas.*;
import ai.llmos.Page;
import ai.llmos.Settings;
import ai.llmos.internal.Transport;
import java.util.function.Consumer;

/** The opinions of persons on answers. */
public final class Feedback extends Noun {
    /** Makes it; the client does. */
    public Feedback(Transport transport) {
        super(transport);
    }

    /** Says what you think of an answer, in place of what this key has said of it before. */
    public FeedbackDescription give(String answer) {
        return give(answer, given -> {});
    }

    /** Says what you think of an answer, in place of what this key has said of it before. */
    public FeedbackDescription give(String answer, Consumer<FeedbackFields> fields) {
        return one(FeedbackDescription.class, "POST", "/llmos/v1/feedback", merged(Settings.of(new FeedbackFields(), fields).toMap(), "answer", answer));
    }

    /** Returns the project's feedback, newest first. */
    public Page<FeedbackDescription> list() {
        return list(given -> {});
    }

    /** Returns the project's feedback, newest first. */
    public Page<FeedbackDescription> list(Consumer<FeedbackFilters> filters) {
        return page(FeedbackDescription.class, "/llmos/v1/feedback", merged(Settings.of(new FeedbackFilters(), filters).toMap()));
    }

    /** Makes a version of a dataset out of the feedback. kind: preference, or chat: good answers alone. */
    public DatasetDetails export(String dataset, String kind) {
        return one(DatasetDetails.class, "POST", "/llmos/v1/feedback/export", fields("dataset", dataset, "kind", kind));
    }

    /** Takes back what this key has said. */
    public void remove(String id) {
        none("DELETE", "/llmos/v1/feedback/" + segment(id), null);
    }
}
