// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.nouns;

import ai.llmos.Settings;
import java.util.Map;

/** The settings by which files become rows; what isn't given is recognized, or left as it is. */
public final class ImportSettings extends Settings {
    /** The shape of the records, such as "sharegpt". */
    public ImportSettings shape(String value) {
        put("shape", value);
        return this;
    }

    /** &#123;field: column of the files&#125;. */
    public ImportSettings mapping(Map<String, String> value) {
        put("mapping", value);
        return this;
    }

    /** Sets on_error. */
    public ImportSettings onError(String value) {
        put("on_error", value);
        return this;
    }

    /** Sets license. */
    public ImportSettings license(String value) {
        put("license", value);
        return this;
    }

    /** The use that the rows are allowed for: "train", "eval" or "none". */
    public ImportSettings consent(String value) {
        put("consent", value);
        return this;
    }

    /** Sets language. */
    public ImportSettings language(String value) {
        put("language", value);
        return this;
    }

    /** Sets split. */
    public ImportSettings split(String value) {
        put("split", value);
        return this;
    }

    /** Sets config. */
    public ImportSettings config(String value) {
        put("config", value);
        return this;
    }
}
