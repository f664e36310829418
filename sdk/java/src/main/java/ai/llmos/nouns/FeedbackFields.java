// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.nouns;

import ai.llmos.Settings;
import java.util.List;
import java.util.Map;

/** The feedback on an answer. */
public final class FeedbackFields extends Settings {
    /** rating, or vote: it was the best one of several. */
    public FeedbackFields kind(String value) {
        put("kind", value);
        return this;
    }

    /** up or down. */
    public FeedbackFields rating(String value) {
        put("rating", value);
        return this;
    }

    /** The text that the answer should have had. */
    public FeedbackFields correction(String value) {
        put("correction", value);
        return this;
    }

    /** Sets comment. */
    public FeedbackFields comment(String value) {
        put("comment", value);
        return this;
    }

    /** The conversation before the answer. With it and <code>text</code>, feedback becomes rows of datasets. */
    public FeedbackFields messages(List<? extends Map<String, ?>> value) {
        put("messages", value);
        return this;
    }

    /** The answer. */
    public FeedbackFields text(String value) {
        put("text", value);
        return this;
    }

    /** The version, route or application that gave the answer. */
    public FeedbackFields version(String value) {
        put("version", value);
        return this;
    }

    /** The other answers of a vote, each with <code>answer</code>, <code>version</code> and <code>text</code>. */
    public FeedbackFields rejected(List<Map<String, String>> value) {
        put("rejected", value);
        return this;
    }

    /** Sets is_tie. */
    public FeedbackFields isTie(boolean value) {
        put("is_tie", value);
        return this;
    }

    /** Sets is_blind. */
    public FeedbackFields isBlind(boolean value) {
        put("is_blind", value);
        return this;
    }

    /** The person whose data it has. */
    public FeedbackFields user(String value) {
        put("user", value);
        return this;
    }
}
