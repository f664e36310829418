package ai.llmos;

import ai.llmos.json.JsonSchema;
import java.lang.reflect.Type;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The options of a call to a model. One that isn't set gets the server's default. */
public final class CallOptions extends Settings {
    /** Makes options of which none is set. */
    public CallOptions() {}

    /** The most tokens to generate; by default, what the context window has room for. */
    public CallOptions maxTokens(long value) {
        put("max_tokens", value);
        return this;
    }

    /** The fewest tokens to generate. */
    public CallOptions minTokens(long value) {
        put("min_tokens", value);
        return this;
    }

    /** 0 always takes the most likely token. */
    public CallOptions temperature(double value) {
        put("temperature", value);
        return this;
    }

    /** Sample from the most likely tokens that have this share together. */
    public CallOptions topP(double value) {
        put("top_p", value);
        return this;
    }

    /** Sample from so many of the most likely tokens. */
    public CallOptions topK(long value) {
        put("top_k", value);
        return this;
    }

    /** Sample from tokens that are at least this likely, compared with the most likely one. */
    public CallOptions minP(double value) {
        put("min_p", value);
        return this;
    }

    /** Above 1: tokens that occurred are less likely. */
    public CallOptions repetitionPenalty(double value) {
        put("repetition_penalty", value);
        return this;
    }

    /** Above 0: tokens that the answer has already are less likely. */
    public CallOptions presencePenalty(double value) {
        put("presence_penalty", value);
        return this;
    }

    /** Above 0: the same, more so the more often they occurred. */
    public CallOptions frequencyPenalty(double value) {
        put("frequency_penalty", value);
        return this;
    }

    /** Numbers that are added to the logits of tokens. */
    public CallOptions logitBias(Map<Integer, Double> value) {
        put("logit_bias", value);
        return this;
    }

    /** The same seed gives the same text. */
    public CallOptions seed(long value) {
        put("seed", value);
        return this;
    }

    /** The answer ends before the first occurrence of any of these strings. */
    public CallOptions stop(String... value) {
        put("stop", List.of(value));
        return this;
    }

    /** The answer ends before any of these tokens. */
    public CallOptions stopTokenIds(List<Integer> value) {
        put("stop_token_ids", value);
        return this;
    }

    /** Go on behind the token with which the model ends its answer. */
    public CallOptions ignoreEos(boolean value) {
        put("ignore_eos", value);
        return this;
    }

    /** The answer matches this regular expression. */
    public CallOptions regex(String value) {
        put("regex", value);
        return this;
    }

    /** The answer is one of these. */
    public CallOptions choice(String... value) {
        put("choice", List.of(value));
        return this;
    }

    /** -100 to 100: higher priorities go first when the server is busy. */
    public CallOptions priority(long value) {
        put("priority", value);
        return this;
    }

    /** Your own user: when the server is busy, users take turns. */
    public CallOptions user(String value) {
        put("user", value);
        return this;
    }

    /** Prompts with the same salt share the cache of common prefixes; prompts with different salts never do. */
    public CallOptions cacheSalt(String value) {
        put("cache_salt", value);
        return this;
    }

    /** Continue the prompt unchanged, without the model's chat template. For {@link Model#generateText} alone. */
    public CallOptions raw(boolean value) {
        put("raw", value);
        return this;
    }

    /** One answer may contain several calls. For conversations. */
    public CallOptions parallelToolCalls(boolean value) {
        put("parallel_tool_calls", value);
        return this;
    }

    /** The answer is JSON that can be read as this type: a record, a sealed interface of records, an enum, a list. */
    public CallOptions format(Type type) {
        return formatSchema(JsonSchema.of(type));
    }

    /** The answer is JSON that matches this schema. */
    public CallOptions formatSchema(Map<String, ?> schema) {
        put("format", schema);
        return this;
    }

    /** The answer is a JSON object, any one. */
    public CallOptions formatJson() {
        put("format", "json");
        return this;
    }

    /** The functions that the model may ask for. For conversations. */
    public CallOptions tools(ToolSpec... tools) {
        return tools(Arrays.asList(tools));
    }

    /** The functions that the model may ask for. For conversations. */
    public CallOptions tools(List<ToolSpec> tools) {
        put("tools", tools.isEmpty() ? null : tools.stream().map(ToolSpec::toMap).toList());
        return this;
    }

    /** {@code auto}, {@code required}: the model must call one, or {@code none}. */
    public CallOptions toolChoice(String choice) {
        put("tool_choice", choice);
        return this;
    }

    /** The model must call this function. */
    public CallOptions toolChoiceOf(String function) {
        put("tool_choice", Map.of("type", "function", "function", Map.of("name", function)));
        return this;
    }

    /** Returns the fields of a request, in which the constraints of the answer's format have a field of their own. */
    Map<String, Object> fields(String constraintField, String schemaField) {
        var fields = toMap();
        Map<String, Object> constraint = new LinkedHashMap<>();
        var format = fields.remove("format");
        if (format instanceof String) {
            constraint.put("json_object", true);
        } else if (format != null) {
            constraint.put(schemaField, format);
        }
        for (var name : List.of("regex", "choice")) {
            if (fields.containsKey(name)) {
                constraint.put(name, fields.remove(name));
            }
        }
        if (!constraint.isEmpty()) {
            fields.put(constraintField, constraint);
        }
        return fields;
    }
}
