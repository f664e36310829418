// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.nouns;

import ai.llmos.Settings;

/** The filters of a list of feedback; all that is given must hold. */
public final class FeedbackFilters extends Settings {
    /** Sets answer. */
    public FeedbackFilters answer(String value) {
        put("answer", value);
        return this;
    }

    /** Sets kind. */
    public FeedbackFilters kind(String value) {
        put("kind", value);
        return this;
    }

    /** Sets rating. */
    public FeedbackFilters rating(String value) {
        put("rating", value);
        return this;
    }

    /** <code>next</code> of the page before. */
    public FeedbackFilters after(String value) {
        put("after", value);
        return this;
    }

    /** Sets limit. */
    public FeedbackFilters limit(long value) {
        put("limit", value);
        return this;
    }
}
