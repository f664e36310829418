package ai.llmos;

import static ai.llmos.ScriptedServer.json;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.llmos.errors.NotFoundException;
import ai.llmos.internal.AsyncRunner;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Futures and publishers. */
@Timeout(60)
class AsyncTest {
    private final ScriptedServer server = new ScriptedServer();
    private final LLMOS client = server.client();
    private final AsyncModel model = model();

    private AsyncModel model() {
        server.replies(json(Replies.MODEL));
        var found = client.async().models().get("dialogue").join();
        server.received.clear();
        return found;
    }

    @AfterEach
    void close() {
        client.close();
        server.close();
    }

    @Test
    void aFutureHasTheAnswerOrTheError() throws Exception {
        server.replies(json(Replies.GENERATED), ScriptedServer.error(404, "model_not_found"));
        assertEquals("Hello there", model.generateText("Hi").get(20, TimeUnit.SECONDS).text());
        var error = assertThrows(ExecutionException.class, () -> model.generateText("Hi").get(20, TimeUnit.SECONDS));
        assertInstanceOf(NotFoundException.class, error.getCause());
    }

    @Test
    void aPublisherGivesThePiecesThatWereAskedFor() throws Exception {
        server.replies(ScriptedServer.events(Replies.piece("a"), Replies.piece("b"), Replies.last(), "[DONE]"));
        var collected = new Collecting<String>(1);
        model.streamText("Hi").subscribe(collected);
        collected.first.get(20, TimeUnit.SECONDS);
        assertFalse(collected.end.isDone());
        assertEquals(List.of("a"), collected.items);
        collected.subscription.request(Long.MAX_VALUE);
        assertEquals(List.of("a", "b"), collected.all());
    }

    @Test
    void eachSubscriberHasAnAnswerOfItsOwn() throws Exception {
        var publisher = model.streamText("Hi");
        assertEquals(List.of(), server.received);
        for (var piece : List.of("a", "b")) {
            server.replies(ScriptedServer.events(Replies.piece(piece), Replies.last(), "[DONE]"));
            var collected = new Collecting<String>(9);
            publisher.subscribe(collected);
            assertEquals(List.of(piece), collected.all());
        }
    }

    @Test
    void aCancelledSubscriptionHangsUpAndIsToldNothingMore() throws Exception {
        server.replies(server.hanging(Replies.piece("a")));
        var collected = new Collecting<String>(9);
        model.streamText("Hi").subscribe(collected);
        collected.first.get(20, TimeUnit.SECONDS);
        collected.subscription.cancel();
        assertTrue(server.hungUp.await(20, TimeUnit.SECONDS));
        assertFalse(collected.end.isDone());
    }

    @Test
    void askingForNothingIsAnError() {
        server.replies(server.hanging(Replies.piece("a")));
        var collected = new Collecting<String>(0);
        model.streamText("Hi").subscribe(collected);
        collected.subscription.request(0);
        assertInstanceOf(IllegalArgumentException.class, assertThrows(ExecutionException.class, collected::all).getCause());
    }

    @Test
    void anErrorOfTheServerIsPublished() {
        server.replies(ScriptedServer.error(404, "model_not_found"));
        var collected = new Collecting<String>(9);
        model.streamText("Hi").subscribe(collected);
        assertInstanceOf(NotFoundException.class, assertThrows(ExecutionException.class, collected::all).getCause());
    }

    @Test
    void withoutVirtualThreadsCallsRunOnDaemonsOfAPool() throws Exception {
        var thread = new CompletableFuture<Thread>();
        client.async().call(each -> thread.complete(Thread.currentThread())).get(20, TimeUnit.SECONDS);
        assertTrue(thread.get().isDaemon());
        boolean hasVirtual = Runtime.version().feature() >= 21;
        assertEquals(!hasVirtual, thread.get().getName().startsWith("llmos-"));
        assertFalse(AsyncRunner.newExecutor().isShutdown());
    }

    @Test
    void anInterruptThatCameTooLateDoesNotHitTheNextCall() throws Exception {
        var one = java.util.concurrent.Executors.newSingleThreadExecutor();
        try (var other = server.builder().executor(one).build()) {
            var cancelled = other.async().call(each -> "done");
            cancelled.cancel(true);
            server.replies(json(Map.of("data", List.of())));
            assertEquals(List.of(), other.async().call(each -> each.routes().list()).get(20, TimeUnit.SECONDS));
        } finally {
            one.shutdownNow();
        }
    }

    @Test
    void pagesAreAskedForWhenTheyAreNeeded() {
        server.replies(json(Map.of("data", List.of(Map.of("id", "a"), Map.of("id", "b")), "next", "b")), json(Map.of("data", List.of(Map.of("id", "c")))));
        var page = client.answers().list(filters -> filters.outcome("failed").limit(2));
        assertEquals(2, page.data().size());
        assertEquals(1, server.received.size());
        assertEquals(List.of("a", "b", "c"), page.stream().map(each -> each.id()).toList());
        assertEquals("/llmos/v1/answers?outcome=failed&limit=2&after=b", server.received.get(1).path().replaceAll("after=b&(.*)", "$1&after=b"));
    }
}
