package ai.llmos;

/** The options of embedding texts. */
public final class EmbedOptions extends Settings {
    /** The length of the vectors, if shorter than the model's. */
    public EmbedOptions dimensions(int value) {
        put("dimensions", value);
        return this;
    }

    /** Cut texts that are too long, which is an error otherwise. */
    public EmbedOptions truncate(boolean value) {
        put("truncate", value ? true : null);
        return this;
    }

    /** One of the model's own prompts, put before each text. */
    public EmbedOptions promptName(String value) {
        put("prompt_name", value);
        return this;
    }
}
