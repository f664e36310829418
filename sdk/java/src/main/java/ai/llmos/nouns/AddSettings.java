// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.nouns;

import ai.llmos.Settings;
import java.util.Map;

/** The settings with which documents become knowledge. What isn't given stays as it is in the newest Version. */
public final class AddSettings extends Settings {
    /** The model that makes the vectors; minilm for a first Version. */
    public AddSettings embedding(String value) {
        put("embedding", value);
        return this;
    }

    /** Of a passage; what the model takes, 256 at most, for a first Version. */
    public AddSettings maxTokens(long value) {
        put("max_tokens", value);
        return this;
    }

    /** What a passage may repeat of the one before it. */
    public AddSettings overlapTokens(long value) {
        put("overlap_tokens", value);
        return this;
    }

    /** That of each document. */
    public AddSettings metadata(Map<String, ?> value) {
        put("metadata", value);
        return this;
    }

    /** The person that the documents are about, as requests call the person. */
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
