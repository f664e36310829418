package ai.llmos.internal;

import ai.llmos.errors.CallInterruptedException;
import ai.llmos.errors.ConnectionFailedException;
import ai.llmos.errors.Errors;
import ai.llmos.errors.LLMOSException;
import ai.llmos.errors.LLMOSException.Facts;
import ai.llmos.errors.RequestTimeoutException;
import ai.llmos.json.Json;
import ai.llmos.json.JsonException;
import java.io.IOException;
import java.net.SocketTimeoutException;
import java.net.UnknownHostException;
import java.time.DateTimeException;
import java.time.Duration;
import java.time.Instant;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.util.Map;
import javax.net.ssl.SSLException;

/** Turns what went wrong into the error that the caller gets. */
final class Failures {
    private final Endpoint endpoint;
    private final Options options;

    Failures(Endpoint endpoint, Options options) {
        this.endpoint = endpoint;
        this.options = options;
    }

    /** Returns the error of an answer whose status is none of success. */
    LLMOSException ofStatus(Response response, byte[] body) {
        var location = response.header("location");
        if (response.status() >= 300 && response.status() < 400 && location.isPresent()) {
            // Not followed: the key is for this endpoint only.
            return Errors.of(Problems.about(null, endpoint.url() + " redirects to " + location.get()
                    + ". Use that as the endpoint if you trust it."));
        }
        var error = errorIn(body);
        if (error == null) {
            // From a proxy or another program.
            error = Map.of("message", endpoint.url() + " answered with status " + response.status() + " and no LLMOS error.");
        }
        return ofError(error, response.status(), response.header("x-request-id").orElse(null), retryAfter(response));
    }

    /** Returns the error of an event or a body with this member `error`. */
    static LLMOSException ofError(Map<?, ?> error, int status, String requestId, Double retryAfterSeconds) {
        var message = error.get("message") instanceof String text && !text.isEmpty()
                ? text
                : "The server answered with status " + status + ".";
        var code = error.get("code") instanceof String text ? text : null;
        var param = error.get("param") instanceof String text ? text : null;
        return Errors.of(new Facts(message, status, code, param, requestId, retryAfterSeconds));
    }

    private static Map<?, ?> errorIn(byte[] body) {
        try {
            return Json.read(body) instanceof Map<?, ?> map && map.get("error") instanceof Map<?, ?> error ? error : null;
        } catch (JsonException notJson) {
            return null;
        }
    }

    private static Double retryAfter(Response response) {
        var value = response.header("retry-after").orElse("").strip();
        if (value.matches("\\d{1,9}")) {
            return Double.valueOf(value);
        }
        try {
            var until = ZonedDateTime.parse(value, DateTimeFormatter.RFC_1123_DATE_TIME).toInstant();
            return Math.max(0, Duration.between(Instant.now(), until).toMillis() / 1000.0);
        } catch (DateTimeException error) {
            return null;
        }
    }

    LLMOSException ofInterrupt() {
        return new CallInterruptedException(Facts.local("interrupted",
                "The thread was interrupted during a call to " + endpoint.url() + ". The server has stopped working on it."));
    }

    /** Returns the error of a failure to send or to read. */
    LLMOSException of(Exception failure, boolean hasEmitted) {
        if (failure instanceof LLMOSException error) {
            return error;
        }
        if (Thread.currentThread().isInterrupted()) {
            return ofInterrupt();
        }
        if (failure instanceof JsonException) {
            return malformed();
        }
        if (failure instanceof SocketTimeoutException) {
            return new RequestTimeoutException(Facts.local("request_timeout", String.format(java.util.Locale.ROOT,
                    "%s sent no data for %s seconds. Ask for fewer tokens, or give the client a longer timeout.",
                    endpoint.url(), plain(options.readTimeoutSeconds()))));
        }
        if (failure instanceof Exchange.ReplyTooLarge large) {
            return new ConnectionFailedException(Facts.local("connection_failed", "The reply of " + endpoint.url() + " is larger than "
                    + large.maxBytes + " bytes. Ask for less at once, or give the client a larger maxReplyBytes."));
        }
        return new ConnectionFailedException(Facts.local("connection_failed", describe((IOException) failure, hasEmitted)));
    }

    LLMOSException malformed() {
        return new ConnectionFailedException(Facts.local("connection_failed", "The reply of " + endpoint.url()
                + " is not one of an LLMOS server of this version. Check the endpoint; `llmos serve` starts a server."));
    }

    private String describe(IOException failure, boolean hasEmitted) {
        var reason = reasonOf(failure);
        if (reason.contains("PKIX path") || reason.contains("subject alternative")) {
            return "The certificate of " + endpoint.url() + " isn't trusted (" + reason + "). If it is your server, set ca(…) or "
                    + "LLMOS_CA to the file of its certificate, or of the authority that signed it.";
        }
        if (failure instanceof SSLException) {
            return endpoint.url() + " doesn't speak TLS (" + reason + "). If the server has no certificate, write http://.";
        }
        if (failure instanceof Connections.NoConnection) {
            return "No server answers at " + endpoint.url() + " (" + reason + "). Start one with `llmos serve`, "
                    + "or set LLMOS_ENDPOINT to the address of another.";
        }
        var where = hasEmitted ? "during the answer" : "before an answer arrived";
        var hint = !endpoint.isSecure() && !hasEmitted && failure instanceof WireException ? "If it serves HTTPS, write https://. " : "";
        return "The connection to " + endpoint.url() + " was lost " + where + " (" + reason + "). " + hint
                + "Run `llmos ps` to check whether the server is running; `llmos serve` starts one.";
    }

    private static String reasonOf(IOException failure) {
        if (failure.getCause() instanceof UnknownHostException || failure instanceof UnknownHostException) {
            return "the name isn't known";
        }
        return failure.getMessage() == null ? failure.getClass().getSimpleName() : failure.getMessage();
    }

    private static String plain(double seconds) {
        return seconds == Math.rint(seconds) ? String.valueOf((long) seconds) : String.valueOf(seconds);
    }
}
