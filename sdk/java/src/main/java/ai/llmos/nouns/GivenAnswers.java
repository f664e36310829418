// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.nouns;

import ai.llmos.schemas.*;
import ai.llmos.Page;
import ai.llmos.Settings;
import ai.llmos.internal.Transport;
import java.util.function.Consumer;

/** The answers that a server has given: their facts. */
public final class GivenAnswers extends Noun {
    /** Makes it; the client does. */
    public GivenAnswers(Transport transport) {
        super(transport);
    }

    /** Returns the answers that were given, newest first. */
    public Page<AnswerDetails> list() {
        return list(given -> {});
    }

    /** Returns the answers that were given, newest first. */
    public Page<AnswerDetails> list(Consumer<AnswerFilters> filters) {
        return page(AnswerDetails.class, "/llmos/v1/answers", merged(Settings.of(new AnswerFilters(), filters).toMap()));
    }

    /** Returns what is known of an answer, by its id or by that of its request. */
    public AnswerDetails get(String id) {
        return one(AnswerDetails.class, "GET", "/llmos/v1/answers/" + segment(id), null);
    }
}
