package ai.llmos.internal;

import java.util.Map;
import java.util.Optional;

/** The status line and the headers of an answer. Names are in lower case. */
public record Response(int status, Map<String, String> headers, boolean isHttp10) {
    public boolean isSuccess() {
        return status >= 200 && status < 300;
    }

    public Optional<String> header(String name) {
        return Optional.ofNullable(headers.get(name));
    }

    boolean hasBody(String method) {
        return !method.equals("HEAD") && status != 204 && status != 304;
    }

    boolean closesConnection() {
        var connection = header("connection").orElse("").toLowerCase(java.util.Locale.ROOT);
        return connection.contains("close") || (isHttp10 && !connection.contains("keep-alive"));
    }
}
