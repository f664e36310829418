package ai.llmos;

import static ai.llmos.ScriptedServer.bytes;
import static ai.llmos.ScriptedServer.error;
import static ai.llmos.ScriptedServer.json;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.llmos.errors.BadRequestException;
import ai.llmos.errors.CallInterruptedException;
import ai.llmos.errors.ConnectionFailedException;
import ai.llmos.errors.LLMOSException;
import ai.llmos.errors.RateLimitedException;
import ai.llmos.errors.RequestTimeoutException;
import ai.llmos.errors.UnknownServerException;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Faults between a client and its server: broken replies, other programs, keys, threads and memory. */
@Timeout(60)
class FaultsTest {
    private final ScriptedServer server = new ScriptedServer();
    private LLMOS client = server.client();

    @AfterEach
    void close() {
        client.close();
        server.close();
    }

    private Answer ask() {
        return client.modelNamed(named()).generateText("Hi");
    }

    private static ai.llmos.schemas.VersionDetails named() {
        return ai.llmos.json.Binding.read(Map.of("name", "dialogue"), ai.llmos.schemas.VersionDetails.class);
    }

    private <T extends LLMOSException> T fails(Class<T> kind, ScriptedServer.Reply... replies) {
        server.replies(replies);
        return assertThrows(kind, this::ask);
    }

    private void clientWith(java.util.function.Consumer<LLMOS.Builder> options) {
        client.close();
        var builder = server.builder();
        options.accept(builder);
        client = builder.build();
    }

    // Broken replies

    @ParameterizedTest
    @ValueSource(strings = {
        "not HTTP at all\r\n\r\n",
        "HTTP/1.1 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"id\": ",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n: nameless\r\n\r\n",
        "",
    })
    void aBrokenReplyIsALostConnectionAndTriedAgain(String reply) {
        var error = fails(ConnectionFailedException.class, bytes(reply), bytes(reply), bytes(reply));
        assertTrue(error.getMessage().contains("llmos serve"), error::getMessage);
        assertEquals(3, server.received.size());
    }

    @Test
    void endlessHeadersAreCutOff() {
        var error = fails(ConnectionFailedException.class, headers(400), headers(400), headers(400));
        assertTrue(error.getMessage().contains("too many headers"), error::getMessage);
        var line = bytes("HTTP/1.1 200 OK\r\nX: " + "x".repeat(100_000) + "\r\n\r\n");
        assertTrue(fails(ConnectionFailedException.class, line, line, line).getMessage().contains("64 KiB"));
    }

    private static ScriptedServer.Reply headers(int num) {
        var text = new StringBuilder("HTTP/1.1 200 OK\r\n");
        for (int i = 0; i < num; i++) {
            text.append("x-").append(i).append(": 1\r\n");
        }
        return bytes(text + "\r\n");
    }

    @Test
    void aReplyOfTwoGigabytesIsRefusedBeforeItIsRead() {
        var error = fails(ConnectionFailedException.class, bytes("HTTP/1.1 200 OK\r\nContent-Length: 2147483648\r\n\r\n{"));
        assertTrue(error.getMessage().contains("maxReplyBytes"), error::getMessage);
    }

    @Test
    void aReplyWithoutALengthIsCutOffAtTheLimit() throws Exception {
        clientWith(builder -> builder.maxReplyBytes(1 << 20));
        server.replies((out, connection) -> {
            ScriptedServer.write(out, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            try {
                while (true) {
                    ScriptedServer.writeChunk(out, " ".repeat(60_000));
                }
            } finally {
                server.hungUp.countDown();
            }
        });
        assertTrue(assertThrows(ConnectionFailedException.class, this::ask).getMessage().contains("larger than 1048576 bytes"));
        assertTrue(server.hungUp.await(20, TimeUnit.SECONDS));
    }

    @Test
    void anEventThatNeverEndsIsCutOffAtTheLimit() {
        clientWith(builder -> builder.maxReplyBytes(100_000).maxRetries(0));
        server.replies((out, connection) -> {
            ScriptedServer.beginEvents(out);
            while (true) {
                ScriptedServer.writeChunk(out, "data: " + "x".repeat(60_000) + "\n");
            }
        });
        var stream = client.modelNamed(named()).streamText("Hi");
        assertThrows(ConnectionFailedException.class, stream::hasNext);
    }

    @Test
    void aReplyOfHttp10EndsWithTheConnection() {
        server.replies(bytes("HTTP/1.0 200 OK\r\n\r\n" + ai.llmos.json.Json.write(Replies.GENERATED)));
        assertEquals("Hello there", ask().text());
    }

    @Test
    void aConnectionThatTheServerClosedMeanwhileIsReplaced() {
        server.replies((out, connection) -> {
            json(Replies.GENERATED).write(out, connection);
            connection.isOver = true;
        }, json(Replies.GENERATED));
        clientWith(builder -> builder.maxRetries(0));
        assertEquals("Hello there", ask().text());
        assertEquals("Hello there", ask().text());
    }

    @Test
    void aConnectionIsUsedAgain() {
        var ports = new ArrayList<Object>();
        ScriptedServer.Reply noting = (out, connection) -> {
            ports.add(connection);
            json(Replies.GENERATED).write(out, connection);
        };
        server.replies(noting, (out, connection) -> {
            ports.add(connection);
            error(404, "not_found").write(out, connection);
        }, noting);
        ask();
        assertThrows(LLMOSException.class, this::ask);
        ask();
        assertEquals(1, ports.stream().distinct().count());
    }

    // Time

    @Test
    void aServerThatSendsNothingIsATimeoutAndNotAskedAgain() {
        clientWith(builder -> builder.timeout(Duration.ofMillis(50)));
        var error = fails(RequestTimeoutException.class, (out, connection) -> connection.awaitHangUp());
        assertTrue(error.getMessage().contains("sent no data for 0.05 seconds"), error::getMessage);
        assertEquals(1, server.received.size());
    }

    @Test
    void attemptsWaitLongerEachTimeAndAsLongAsTheServerSays() {
        List<Double> waits = new ArrayList<>();
        clientWith(builder -> builder.maxRetries(3).waiting(waits::add));
        fails(RateLimitedException.class, error(429, "overloaded"), error(429, "overloaded"), error(429, "overloaded", "Retry-After: 7\r\n"), error(429, "overloaded"));
        assertTrue(waits.get(0) > 0.25 && waits.get(0) <= 0.5, waits::toString);
        assertTrue(waits.get(1) > 0.5 && waits.get(1) <= 1, waits::toString);
        assertEquals(7, waits.get(2));
    }

    @Test
    void anErrorHasTheIdOfItsRequest() {
        var error = fails(LLMOSException.class, error(400, "invalid_request", "X-Request-ID: req-7\r\n"));
        assertEquals("req-7", error.requestId().orElseThrow());
    }

    // Addresses and proxies

    @Test
    void nothingListensThere() throws Exception {
        int port;
        try (var free = new ServerSocket(0)) {
            port = free.getLocalPort();
        }
        clientWith(builder -> builder.endpoint("http://127.0.0.1:" + port));
        assertTrue(assertThrows(ConnectionFailedException.class, this::ask).getMessage().startsWith("No server answers at http://127.0.0.1:" + port));
    }

    @ParameterizedTest
    @ValueSource(strings = {"127.0.0.1:8000", "ftp://example.org", "http://", "http:// x", "nonsense"})
    void anAddressThatIsNoneSaysHowToWriteIt(String endpoint) {
        var error = assertThrows(BadRequestException.class, () -> LLMOS.builder().environment(Map.of()).endpoint(endpoint).build());
        assertTrue(error.getMessage().contains("Write it as http://127.0.0.1:8000"), error::getMessage);
        assertEquals("endpoint", error.param().orElseThrow());
    }

    @Test
    void aServerWithoutTlsSaysSo() {
        clientWith(builder -> builder.endpoint(server.url().replace("http:", "https:")).maxRetries(0));
        server.replies(bytes("HTTP/1.1 400 Bad Request\r\n\r\n"));
        assertTrue(assertThrows(ConnectionFailedException.class, this::ask).getMessage().contains("write http://"));
    }

    @Test
    void certificatesThatAreNoneAreABadRequest(@TempDir Path folder) throws Exception {
        var file = Files.writeString(folder.resolve("ca.pem"), "no certificate");
        for (var path : List.of(file, folder.resolve("missing.pem"))) {
            var error = assertThrows(BadRequestException.class, () -> LLMOS.builder().environment(Map.of()).endpoint("https://example.org").ca(path).build());
            assertEquals("ca", error.param().orElseThrow());
        }
    }

    @Test
    void aProxyOfTheEnvironmentGetsTheWholeAddress() {
        clientWith(builder -> builder.environment(Map.of("http_proxy", server.url().replace("//", "//ann:pw@"))).endpoint("http://llmos.example:8000/base/"));
        server.replies(json(Replies.GENERATED));
        ask();
        var request = server.received.get(0);
        assertEquals("http://llmos.example:8000/base/llmos/v1/generate", request.path());
        assertEquals("Basic YW5uOnB3", request.headers().get("proxy-authorization"));
        assertEquals("llmos.example:8000", request.headers().get("host"));
    }

    @Test
    void anHttpsServerIsReachedThroughATunnel() {
        clientWith(builder -> builder.environment(Map.of("HTTPS_PROXY", server.url())).endpoint("https://llmos.example").maxRetries(0));
        server.replies(bytes("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"));
        var error = assertThrows(ConnectionFailedException.class, this::ask);
        assertTrue(error.getMessage().contains("answered with status 407"), error::getMessage);
        assertEquals("CONNECT", server.received.get(0).method());
        assertFalse(server.received.get(0).headers().containsKey("authorization"));
    }

    @Test
    void noProxyIsAskedForThisMachineOrWhereNoProxyNamesTheHost() {
        var proxy = Map.of("HTTP_PROXY", "http://127.0.0.1:1", "ALL_PROXY", "http://127.0.0.1:1", "NO_PROXY", "example.org,.local");
        clientWith(builder -> builder.environment(proxy));
        server.replies(json(Replies.GENERATED));
        assertEquals("Hello there", ask().text());
    }

    // Keys

    @ParameterizedTest
    @ValueSource(strings = {"key\n", "key\r\nX-Admin: yes", "a key", "schlüssel"})
    void aKeyWithALineBreakIsNotSent(String key) {
        var error = assertThrows(BadRequestException.class, () -> server.builder().apiKey(key).build());
        assertEquals("api_key", error.param().orElseThrow());
        assertFalse(error.getMessage().contains(key));
    }

    @Test
    void theKeyOfTheEnvironmentIsSentToAnyServer() {
        clientWith(builder -> builder.apiKey(null).environment(Map.of("LLMOS_API_KEY", "other")));
        server.replies(json(Replies.GENERATED));
        ask();
        assertEquals("Bearer other", server.received.get(0).headers().get("authorization"));
    }

    @Test
    void theOwnersKeyGoesOnlyToAProgramThatProvesToHaveIt() throws Exception {
        clientWith(builder -> builder.apiKey(null).environment(Map.of("LLMOS_OWNER_KEY", "owner")));
        server.replies(proof("owner", server.port()), json(Replies.GENERATED), json(Replies.GENERATED));
        assertEquals("Hello there", ask().text());
        assertEquals("Hello there", ask().text());
        assertNull(server.received.get(0).headers().get("authorization"));
        assertEquals(List.of("/health/identity", "/llmos/v1/generate", "/llmos/v1/generate"), server.received.stream().map(each -> each.path()).toList());
    }

    @Test
    void anotherProgramOnThePortGetsNoKey() {
        clientWith(builder -> builder.apiKey(null).environment(Map.of("LLMOS_OWNER_KEY", "owner")).maxRetries(0));
        fails(UnknownServerException.class, proof("another", server.port()));
        fails(UnknownServerException.class, proof("owner", server.port() + 1));
        fails(UnknownServerException.class, json(404, Map.of()));
        assertTrue(server.received.stream().noneMatch(each -> each.headers().containsKey("authorization")));
    }

    @Test
    void theOwnersKeyIsReadFromTheHomeForThisMachineAlone(@TempDir Path home) throws Exception {
        Files.writeString(Files.createDirectory(home.resolve("keys")).resolve("owner"), "owner\n");
        var environment = Map.of("LLMOS_HOME", home.toString());
        clientWith(builder -> builder.apiKey(null).environment(environment));
        server.replies(proof("owner", server.port()), json(Replies.GENERATED));
        assertEquals("Hello there", ask().text());
        clientWith(builder -> builder.apiKey(null).environment(Map.of("LLMOS_HOME", home.toString(), "http_proxy", server.url())).endpoint("http://llmos.example"));
        server.received.clear();
        server.replies(json(Replies.GENERATED));
        ask();
        assertNull(server.received.get(0).headers().get("authorization"));
    }

    private static ScriptedServer.Reply proof(String key, int port) {
        return (out, connection) -> {
            var challenge = "llmos server proof\n" + connection.last().headers().get("llmos-challenge") + "\n" + port;
            var mac = Mac.getInstance("HmacSHA256");
            mac.init(new SecretKeySpec(key.getBytes(StandardCharsets.UTF_8), "HmacSHA256"));
            var proof = java.util.HexFormat.of().formatHex(mac.doFinal(challenge.getBytes(StandardCharsets.UTF_8)));
            json(200, Map.of(), "llmos-proof: " + proof + "\r\n").write(out, connection);
        };
    }

    // Threads

    @Test
    void anInterruptedThreadStopsTheCallAndStaysInterrupted() throws Exception {
        server.replies((out, connection) -> connection.awaitHangUp());
        var failure = new AtomicReference<Throwable>();
        var wasInterrupted = new CompletableFuture<Boolean>();
        var caller = new Thread(() -> {
            try {
                ask();
            } catch (RuntimeException error) {
                failure.set(error);
            }
            wasInterrupted.complete(Thread.currentThread().isInterrupted());
        });
        caller.start();
        assertTrue(server.asked.await(20, TimeUnit.SECONDS));
        caller.interrupt();
        assertTrue(server.hungUp.await(20, TimeUnit.SECONDS));
        assertTrue(wasInterrupted.get());
        assertInstanceOf(CallInterruptedException.class, failure.get());
        assertEquals(1, server.received.size());
    }

    @Test
    void aThreadThatIsInterruptedAlreadySendsNothing() {
        Thread.currentThread().interrupt();
        assertThrows(CallInterruptedException.class, this::ask);
        assertTrue(Thread.interrupted());
        assertEquals(List.of(), server.received);
    }

    @Test
    void aCancelledFutureHangsUp() throws Exception {
        server.replies((out, connection) -> connection.awaitHangUp());
        var future = client.async().call(each -> each.modelNamed(named()).generateText("Hi"));
        assertTrue(server.asked.await(20, TimeUnit.SECONDS));
        future.cancel(true);
        assertTrue(server.hungUp.await(20, TimeUnit.SECONDS));
    }

    @Test
    void aFutureThatTimesOutHangsUp() throws Exception {
        server.replies((out, connection) -> connection.awaitHangUp());
        client.async().call(each -> each.modelNamed(named()).generateText("Hi")).orTimeout(50, TimeUnit.MILLISECONDS);
        assertTrue(server.hungUp.await(20, TimeUnit.SECONDS));
    }

    @Test
    void aStreamThatAnotherThreadClosesEnds() throws Exception {
        server.replies(server.hanging(Replies.piece("Hel")));
        var stream = client.modelNamed(named()).streamText("Hi");
        assertEquals("Hel", stream.next());
        var hasNext = new CompletableFuture<Boolean>();
        new Thread(() -> hasNext.complete(stream.hasNext())).start();
        stream.close();
        assertFalse(hasNext.get());
        assertEquals("Hel", stream.text());
        assertThrows(IllegalStateException.class, stream::answer);
        assertTrue(server.hungUp.await(20, TimeUnit.SECONDS));
    }

    @Test
    void aClosedClientStopsItsCalls() throws Exception {
        server.replies((out, connection) -> connection.awaitHangUp());
        var failed = CompletableFuture.supplyAsync(() -> assertThrows(LLMOSException.class, this::ask));
        assertTrue(server.asked.await(20, TimeUnit.SECONDS));
        client.close();
        assertTrue(server.hungUp.await(20, TimeUnit.SECONDS));
        assertInstanceOf(ConnectionFailedException.class, failed.get());
    }
}
