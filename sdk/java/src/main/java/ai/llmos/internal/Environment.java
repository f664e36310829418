package ai.llmos.internal;

import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;

/** The environment variables that the client reads. An empty one counts as missing. */
public record Environment(Map<String, String> variables) {
    /** Returns those of this process. */
    public static Environment ofProcess() {
        return new Environment(System.getenv());
    }

    public Optional<String> get(String name) {
        return Optional.ofNullable(variables.get(name)).filter(value -> !value.isEmpty());
    }

    /** Returns LLMOS_HOME, by default ~/.llmos. */
    public Path home() {
        var user = System.getProperty("user.home");
        var home = get("LLMOS_HOME").orElse("~/.llmos");
        return Path.of(home.equals("~") || home.startsWith("~/") ? user + home.substring(1) : home).toAbsolutePath();
    }

    /** Returns the address of the server on this machine, as `llmos serve` listens. */
    String localEndpoint() {
        boolean hasTls = get("LLMOS_TLS_SELF_SIGNED").filter("on"::equals).isPresent() || get("LLMOS_TLS_CERT").isPresent();
        // Kubernetes sets LLMOS_PORT=tcp://10.0.0.1:8000 for a service with the name llmos.
        return (hasTls ? "https" : "http") + "://127.0.0.1:" + get("LLMOS_PORT").filter(port -> !port.startsWith("tcp://")).orElse("8000");
    }
}
