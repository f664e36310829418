package ai.llmos;

import ai.llmos.internal.AsyncRunner;
import ai.llmos.schemas.LikelihoodDescription;
import ai.llmos.schemas.VersionDetails;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Flow.Publisher;
import java.util.function.Consumer;

/** A model on a server, whose answers are futures, and whose streams are publishers. See {@link Model}. */
public final class AsyncModel {
    private final AsyncRunner async;
    private final Model blocking;

    AsyncModel(AsyncRunner async, Model blocking) {
        this.async = async;
        this.blocking = blocking;
    }

    /** Returns the name that was asked for. */
    public String name() {
        return blocking.name();
    }

    /** Returns the version behind the name at that time. */
    public String version() {
        return blocking.version();
    }

    /** Returns what is known of that version. */
    public VersionDetails info() {
        return blocking.info();
    }

    /** Returns the model's answer to a prompt. */
    public CompletableFuture<Answer> generateText(String prompt) {
        return async.run(() -> blocking.generateText(prompt));
    }

    /** Returns the model's answer to a prompt. */
    public CompletableFuture<Answer> generateText(String prompt, Consumer<? super CallOptions> options) {
        return async.run(() -> blocking.generateText(prompt, options));
    }

    /** Returns an answer that can be read as a type, such as a record. */
    public <T> CompletableFuture<T> generate(String prompt, Class<T> type, Consumer<? super CallOptions> options) {
        return async.run(() -> blocking.generate(prompt, type, options));
    }

    /** Publishes the pieces of an answer. Each subscriber has an answer of its own, which cancelling stops. */
    public Publisher<String> streamText(String prompt) {
        return async.publish(() -> blocking.streamText(prompt));
    }

    /** Publishes the pieces of an answer. Each subscriber has an answer of its own, which cancelling stops. */
    public Publisher<String> streamText(String prompt, Consumer<? super CallOptions> options) {
        return async.publish(() -> blocking.streamText(prompt, options));
    }

    /** Returns the model's answer to a conversation. */
    public CompletableFuture<Answer> chat(List<Message> messages) {
        return async.run(() -> blocking.chat(messages));
    }

    /** Returns the model's answer to a conversation. */
    public CompletableFuture<Answer> chat(List<Message> messages, Consumer<? super CallOptions> options) {
        return async.run(() -> blocking.chat(messages, options));
    }

    /** Publishes the pieces of an answer to a conversation. */
    public Publisher<String> streamChat(List<Message> messages, Consumer<? super CallOptions> options) {
        return async.publish(() -> blocking.streamChat(messages, options));
    }

    /** Returns how many tokens a conversation has as the model sees it. */
    public CompletableFuture<TokenCount> countTokens(List<Message> messages, ToolSpec... tools) {
        return async.run(() -> blocking.countTokens(messages, tools));
    }

    /** Returns how likely each continuation is behind a text. */
    public CompletableFuture<LikelihoodDescription> likelihood(String prompt, List<String> continuations) {
        return async.run(() -> blocking.likelihood(prompt, continuations));
    }

    /** Returns how likely each continuation is behind a text. */
    public CompletableFuture<LikelihoodDescription> likelihood(
            String prompt, List<String> continuations, Consumer<? super LikelihoodOptions> options) {
        return async.run(() -> blocking.likelihood(prompt, continuations, options));
    }

    /** Returns a vector for each text. */
    public CompletableFuture<Embeddings> embed(List<String> texts) {
        return async.run(() -> blocking.embed(texts));
    }

    /** Returns a vector for each text. */
    public CompletableFuture<Embeddings> embed(List<String> texts, Consumer<? super EmbedOptions> options) {
        return async.run(() -> blocking.embed(texts, options));
    }

    /** Returns documents by their relevance to a query. */
    public CompletableFuture<Ranking> rerank(String query, List<String> documents) {
        return async.run(() -> blocking.rerank(query, documents));
    }
}
