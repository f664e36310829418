package ai.llmos;

import ai.llmos.internal.Call;
import ai.llmos.internal.Transport;
import ai.llmos.json.Binding;
import ai.llmos.schemas.LikelihoodDescription;
import ai.llmos.schemas.VersionDetails;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

/** A model on a server, under the name that was asked for. It may be used by several threads. */
public final class Model {
    private static final Consumer<Settings> DEFAULTS = options -> {};

    private final Transport transport;
    private final String name;
    private final String version;
    private final Map<String, Object> described;
    private volatile VersionDetails info;

    Model(Transport transport, VersionDetails info) {
        this(transport, info.name(), info.version(), Map.of());
        this.info = info;
    }

    /** Makes one whose description becomes a record when it is asked for: that takes a quarter of the first answer's time. */
    Model(Transport transport, String name, String version, Map<String, Object> described) {
        this.transport = transport;
        this.name = name;
        this.version = version;
        this.described = described;
    }

    /** Returns the name that was asked for: a route or a model. */
    public String name() {
        return name;
    }

    /** Returns the version behind the name at that time. An answer has the version that produced it. */
    public String version() {
        return version;
    }

    /** Returns what is known of that version. */
    public VersionDetails info() {
        if (info == null) {
            info = Binding.read(described, VersionDetails.class);
        }
        return info;
    }

    /** Returns the model's answer to a prompt, which is put into its chat template if it has one. */
    public Answer generateText(String prompt) {
        return generateText(prompt, DEFAULTS);
    }

    /** Returns the model's answer to a prompt, which is put into its chat template if it has one. */
    public Answer generateText(String prompt, Consumer<? super CallOptions> options) {
        return generateText(prompt, Settings.of(new CallOptions(), options));
    }

    /** Returns the model's answer to a prompt, which is put into its chat template if it has one. */
    public Answer generateText(String prompt, CallOptions options) {
        return transport.request(ModelCalls.generate(name(), prompt, options, false));
    }

    /** Returns an answer that can be read as a type, such as a record. Describe in the prompt what you want. */
    public <T> T generate(String prompt, Class<T> type) {
        return generate(prompt, type, DEFAULTS);
    }

    /**
     * Returns an answer that can be read as a type, such as a record. Describe in the prompt what you want.
     *
     * @throws ai.llmos.errors.LLMOSException if the answer was cut, so that it is no JSON
     */
    public <T> T generate(String prompt, Class<T> type, Consumer<? super CallOptions> options) {
        return generateText(prompt, Settings.of(new CallOptions(), options).format(type)).as(type);
    }

    /** Returns the pieces of an answer as they are generated. */
    public AnswerStream streamText(String prompt) {
        return streamText(prompt, DEFAULTS);
    }

    /** Returns the pieces of an answer as they are generated. */
    public AnswerStream streamText(String prompt, Consumer<? super CallOptions> options) {
        var call = ModelCalls.generate(name(), prompt, Settings.of(new CallOptions(), options), true);
        return AnswerStream.open(transport, call, name(), Draft::readGenerated);
    }

    /** Returns the model's answer to a conversation. */
    public Answer chat(List<Message> messages) {
        return chat(messages, DEFAULTS);
    }

    /** Returns the model's answer to a conversation. */
    public Answer chat(List<Message> messages, Consumer<? super CallOptions> options) {
        return chat(messages, Settings.of(new CallOptions(), options));
    }

    /** Returns the model's answer to a conversation. */
    public Answer chat(List<Message> messages, CallOptions options) {
        return transport.request(ModelCalls.chat(name(), messages, options, false));
    }

    /** Returns the pieces of an answer to a conversation as they are generated. */
    public AnswerStream streamChat(List<Message> messages) {
        return streamChat(messages, DEFAULTS);
    }

    /** Returns the pieces of an answer to a conversation as they are generated. */
    public AnswerStream streamChat(List<Message> messages, Consumer<? super CallOptions> options) {
        return streamChat(messages, Settings.of(new CallOptions(), options));
    }

    /** Returns the pieces of an answer to a conversation as they are generated. */
    public AnswerStream streamChat(List<Message> messages, CallOptions options) {
        var call = ModelCalls.chat(name(), messages, options, true);
        return AnswerStream.open(transport, call, name(), (draft, event) -> draft.readChoice(event, "delta"));
    }

    /** Returns how many tokens a conversation has as the model sees it. Nothing is generated. */
    public TokenCount countTokens(List<Message> messages, ToolSpec... tools) {
        return transport.request(ModelCalls.countTokens(name(), messages, List.of(tools)));
    }

    /** Returns how likely each continuation is behind a text, which gets no chat template. Nothing is generated. */
    public LikelihoodDescription likelihood(String prompt, List<String> continuations) {
        return likelihood(prompt, continuations, DEFAULTS);
    }

    /** Returns how likely each continuation is behind a text, which gets no chat template. Nothing is generated. */
    public LikelihoodDescription likelihood(String prompt, List<String> continuations, Consumer<? super LikelihoodOptions> options) {
        return score(Map.of("prompt", prompt), continuations, options);
    }

    /** Returns how likely each continuation is as the answer to a conversation. Nothing is generated. */
    public LikelihoodDescription likelihood(List<Message> messages, List<String> continuations, Consumer<? super LikelihoodOptions> options) {
        return score(Map.of("messages", Message.toMaps(messages)), continuations, options);
    }

    private LikelihoodDescription score(Map<String, ?> prompt, List<String> continuations, Consumer<? super LikelihoodOptions> options) {
        var body = ModelCalls.body("model", name());
        body.putAll(prompt);
        body.put("continuations", List.copyOf(continuations));
        body.putAll(Settings.of(new LikelihoodOptions(), options).toMap());
        return transport.request(Call.of("POST", "/llmos/v1/likelihood", body, Call.one(LikelihoodDescription.class)));
    }

    /** Returns a vector for each text; the model must be an embedding model, such as minilm. */
    public Embeddings embed(List<String> texts) {
        return embed(texts, DEFAULTS);
    }

    /** Returns a vector for each text; the model must be an embedding model, such as minilm. */
    public Embeddings embed(List<String> texts, Consumer<? super EmbedOptions> options) {
        return transport.request(ModelCalls.embed(name(), texts, Settings.of(new EmbedOptions(), options)));
    }

    /** Returns documents by their relevance to a query; the model is a reranker or an embedding model. */
    public Ranking rerank(String query, List<String> documents) {
        return rerank(query, documents, DEFAULTS);
    }

    /** Returns documents by their relevance to a query; the model is a reranker or an embedding model. */
    public Ranking rerank(String query, List<String> documents, Consumer<? super RerankOptions> options) {
        return transport.request(ModelCalls.rerank(name(), query, documents, Settings.of(new RerankOptions(), options)));
    }

    @Override
    public String toString() {
        return "Model[name=" + name() + ", version=" + version() + "]";
    }
}
