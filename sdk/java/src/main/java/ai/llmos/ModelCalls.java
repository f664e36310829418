package ai.llmos;

import ai.llmos.internal.Call;
import ai.llmos.internal.Problems;
import ai.llmos.errors.BadRequestException;
import ai.llmos.json.JsonException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** The calls that run a model: what each sends and how its reply is read. No input or output happens here. */
final class ModelCalls {
    private static final Set<String> OF_CONVERSATIONS = Set.of("tools", "tool_choice", "parallel_tool_calls");

    private ModelCalls() {}

    static Call<Answer> generate(String model, String prompt, CallOptions options, boolean isStreamed) {
        var body = body("model", model, "prompt", prompt, "raw", false);
        if (isStreamed) {
            body.put("stream", true);
        }
        body.putAll(options.fields("format", "json_schema"));
        for (var name : OF_CONVERSATIONS) {
            if (body.containsKey(name)) {
                throw new BadRequestException(Problems.about(name, name + " is an option of conversations. Call chat() instead."));
            }
        }
        return Call.of("POST", "/llmos/v1/generate", body, reply -> {
            var draft = new Draft(model);
            draft.readGenerated(reply);
            return draft.finished();
        });
    }

    static Call<Answer> chat(String model, List<Message> messages, CallOptions options, boolean isStreamed) {
        var body = body("model", model, "messages", Message.toMaps(messages));
        if (isStreamed) {
            body.put("stream", true);
            body.put("stream_options", Map.of("include_usage", true));
        }
        body.putAll(options.fields("structured_outputs", "json"));
        return Call.of("POST", "/v1/chat/completions", body, reply -> {
            var draft = new Draft(model);
            draft.readChoice(reply, "message");
            return draft.finished();
        });
    }

    static Call<TokenCount> countTokens(String model, List<Message> messages, List<ToolSpec> tools) {
        var body = body("model", model, "messages", Message.toMaps(messages));
        if (!tools.isEmpty()) {
            body.put("tools", tools.stream().map(ToolSpec::toMap).toList());
        }
        return Call.of("POST", "/v1/tokenize", body, reply -> {
            var counted = Call.object(reply);
            return new TokenCount(whole(counted.get("count")), whole(counted.get("max_model_len")));
        });
    }

    static Call<Embeddings> embed(String model, List<String> texts, Settings options) {
        var body = body("model", model, "input", List.copyOf(texts), "encoding_format", "base64");
        body.putAll(options.toMap());
        return Call.of("POST", "/v1/embeddings", body, reply -> {
            var made = Call.object(reply);
            List<float[]> vectors = new ArrayList<>();
            for (var row : list(made.get("data"))) {
                vectors.add(floats(Call.object(row).get("embedding")));
            }
            return new Embeddings(List.copyOf(vectors), model, text(made.get("model")), usage(made));
        });
    }

    static Call<Ranking> rerank(String model, String query, List<String> documents, Settings options) {
        var body = body("model", model, "query", query, "documents", List.copyOf(documents));
        body.putAll(options.toMap());
        return Call.of("POST", "/v1/rerank", body, reply -> {
            var made = Call.object(reply);
            List<Ranking.Result> results = new ArrayList<>();
            for (var row : list(made.get("results"))) {
                var result = Call.object(row);
                if (!(result.get("relevance_score") instanceof Number score)) {
                    throw new JsonException("a score is missing");
                }
                results.add(new Ranking.Result((int) whole(result.get("index")), score.doubleValue()));
            }
            return new Ranking(List.copyOf(results), model, text(made.get("model")));
        });
    }

    static Map<String, Object> body(Object... pairs) {
        Map<String, Object> body = new LinkedHashMap<>();
        for (int i = 0; i < pairs.length; i += 2) {
            body.put((String) pairs[i], pairs[i + 1]);
        }
        return body;
    }

    private static Usage usage(Map<String, Object> made) {
        Map<String, Object> counted = new LinkedHashMap<>(Map.of("completion_tokens", 0L));
        counted.putAll(Call.object(made.get("usage")));
        return Draft.usageIn(counted);
    }

    private static float[] floats(Object encoded) {
        try {
            var buffer = ByteBuffer.wrap(Base64.getDecoder().decode(text(encoded))).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer();
            var values = new float[buffer.remaining()];
            buffer.get(values);
            return values;
        } catch (IllegalArgumentException error) {
            throw new JsonException("a vector isn't base64");
        }
    }

    private static List<?> list(Object value) {
        if (value instanceof List<?> list) {
            return list;
        }
        throw new JsonException("a list is missing");
    }

    private static String text(Object value) {
        if (value instanceof String text) {
            return text;
        }
        throw new JsonException("a text is missing");
    }

    private static long whole(Object value) {
        if (value instanceof Long number) {
            return number;
        }
        throw new JsonException("a number is missing");
    }
}
