package ai.llmos;

import java.util.List;
import java.util.Map;

/** The options of scoring given texts. */
public final class LikelihoodOptions extends Settings {
    /** Return so many of the most likely tokens at each position, up to 20. */
    public LikelihoodOptions top(int value) {
        put("top", value);
        return this;
    }

    /** The divisor of log probabilities before the options are compared: {@code none}, {@code tokens} or {@code bytes}. */
    public LikelihoodOptions normalize(String value) {
        put("normalize", value);
        return this;
    }

    /** Score the prompt's own tokens, too. */
    public LikelihoodOptions scorePrompt(boolean value) {
        put("score_prompt", value);
        return this;
    }

    /** The tools of the conversation. */
    public LikelihoodOptions tools(List<ToolSpec> value) {
        put("tools", value.stream().map(ToolSpec::toMap).toList());
        return this;
    }

    /** The last message is the beginning of the answer, which the continuations go on with. */
    public LikelihoodOptions continueFinalMessage(boolean value) {
        put("continue_final_message", value);
        return this;
    }

    /** More variables for the model's chat template. */
    public LikelihoodOptions chatTemplateKwargs(Map<String, ?> value) {
        put("chat_template_kwargs", value);
        return this;
    }

    /** -100 to 100: higher priorities go first when the server is busy. */
    public LikelihoodOptions priority(long value) {
        put("priority", value);
        return this;
    }

    /** Your own user. */
    public LikelihoodOptions user(String value) {
        put("user", value);
        return this;
    }

    /** Prompts with different salts share no cache. */
    public LikelihoodOptions cacheSalt(String value) {
        put("cache_salt", value);
        return this;
    }
}
