// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.nouns;

import ai.llmos.Settings;
import java.util.Map;

/** The settings with which documents become knowledge. What isn't given stays as it is in the newest Version. */
public final class AddSettings extends Settings {
    /** The model that makes the vectors; by default minilm for a first Version. */
    public AddSettings embedding(String value) {
        put("embedding", value);
        return this;
    }

    /** The most tokens of a passage; by default for a first Version, the most that the embedding model accepts, up to 256. */
    public AddSettings maxTokens(long value) {
        put("max_tokens", value);
        return this;
    }

    /** The most tokens of the previous passage that a passage repeats. */
    public AddSettings overlapTokens(long value) {
        put("overlap_tokens", value);
        return this;
    }

    /** The metadata of each document. */
    public AddSettings metadata(Map<String, ?> value) {
        put("metadata", value);
        return this;
    }

    /** The person that the documents are about, by the name in requests. */
    public AddSettings subject(String value) {
        put("subject", value);
        return this;
    }

    /** "skip" leaves out documents that can't be read, and counts them in the report. */
    public AddSettings onError(String value) {
        put("on_error", value);
        return this;
    }
}
