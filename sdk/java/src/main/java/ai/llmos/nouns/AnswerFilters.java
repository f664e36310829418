// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.nouns;

import ai.llmos.Settings;
import java.time.Instant;

/** The filters of a list of answers; all that is given must hold. */
public final class AnswerFilters extends Settings {
    /** Sets project. */
    public AnswerFilters project(String value) {
        put("project", value);
        return this;
    }

    /** The id of the key. */
    public AnswerFilters key(String value) {
        put("key", value);
        return this;
    }

    /** The end user whom the request named. */
    public AnswerFilters user(String value) {
        put("user", value);
        return this;
    }

    /** A version, or a model, whichever version. */
    public AnswerFilters model(String value) {
        put("model", value);
        return this;
    }

    /** Sets route. */
    public AnswerFilters route(String value) {
        put("route", value);
        return this;
    }

    /** Sets app. */
    public AnswerFilters app(String value) {
        put("app", value);
        return this;
    }

    /** The run of an application. */
    public AnswerFilters run(String value) {
        put("run", value);
        return this;
    }

    /** answered, blocked, cached, cancelled, failed or refused. */
    public AnswerFilters outcome(String value) {
        put("outcome", value);
        return this;
    }

    /** The strictest verdict of guardrails: flag, redact or block. */
    public AnswerFilters verdict(String value) {
        put("verdict", value);
        return this;
    }

    /** Sets since. */
    public AnswerFilters since(Instant value) {
        put("since", value);
        return this;
    }

    /** Sets until. */
    public AnswerFilters until(Instant value) {
        put("until", value);
        return this;
    }

    /** A decimal, such as "0.01". */
    public AnswerFilters minCost(String value) {
        put("min_cost", value);
        return this;
    }

    /** Sets min_output_tokens. */
    public AnswerFilters minOutputTokens(long value) {
        put("min_output_tokens", value);
        return this;
    }

    /** From the acceptance of the call to its end. */
    public AnswerFilters minSeconds(double value) {
        put("min_seconds", value);
        return this;
    }

    /** Words that all occur in the kept conversation, of the key's own project. */
    public AnswerFilters text(String value) {
        put("text", value);
        return this;
    }

    /** <code>next</code> of the page before. */
    public AnswerFilters after(String value) {
        put("after", value);
        return this;
    }

    /** Sets limit. */
    public AnswerFilters limit(long value) {
        put("limit", value);
        return this;
    }
}
