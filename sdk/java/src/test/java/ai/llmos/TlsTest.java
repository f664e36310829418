package ai.llmos;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.llmos.errors.ConnectionFailedException;
import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledIfEnvironmentVariable;

/** The client with a server whose certificate signs itself. It answers /fast with an object, and /slow with nothing. */
@Timeout(60)
@EnabledIfEnvironmentVariable(named = "LLMOS_TEST_TLS", matches = ".+")
class TlsTest {
    private static final String URL = System.getenv("LLMOS_TEST_TLS");
    private static final String HOME = System.getenv("LLMOS_HOME");

    private static LLMOS.Builder builder(String url, Map<String, String> environment) {
        return LLMOS.builder().environment(environment).endpoint(url).apiKey("key").maxRetries(0);
    }

    @Test
    void theCertificateOfTheHomeIsTrusted() {
        try (var client = builder(URL, Map.of("LLMOS_HOME", HOME)).build()) {
            assertEquals(Map.of("is_fast", true), client.request("GET", "/fast", null));
            assertEquals(Map.of("is_fast", true), client.request("GET", "/fast", null));
        }
    }

    @Test
    void aCertificateThatIsGivenIsTrusted() {
        try (var client = builder(URL, Map.of()).ca(Path.of(HOME, "keys", "tls.pem")).build()) {
            assertEquals(Map.of("is_fast", true), client.request("GET", "/fast", null));
        }
    }

    @Test
    void anotherCertificateIsNot() {
        try (var client = builder(URL, Map.of()).build()) {
            var error = assertThrows(ConnectionFailedException.class, () -> client.request("GET", "/fast", null));
            assertTrue(error.getMessage().contains("isn't trusted"), error::getMessage);
        }
    }

    @Test
    void aCertificateForAnotherNameIsNot() {
        try (var client = builder(URL.replace("127.0.0.1", "127.0.0.2"), Map.of("LLMOS_HOME", HOME)).build()) {
            var error = assertThrows(ConnectionFailedException.class, () -> client.request("GET", "/fast", null));
            assertTrue(error.getMessage().contains("isn't trusted"), error::getMessage);
        }
    }

    @Test
    void aCancelledCallEndsThroughTlsToo() throws Exception {
        try (var client = builder(URL, Map.of("LLMOS_HOME", HOME)).build()) {
            var ended = new CompletableFuture<Throwable>();
            var caller = new Thread(() -> {
                try {
                    client.request("GET", "/slow", null);
                } catch (RuntimeException error) {
                    ended.complete(error);
                }
            });
            caller.start();
            client.request("GET", "/fast", null);
            caller.interrupt();
            assertEquals("CallInterruptedException", ended.get(20, TimeUnit.SECONDS).getClass().getSimpleName());
            assertFalse(ended.isCompletedExceptionally());
        }
    }
}
