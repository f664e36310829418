package ai.llmos.internal;

import ai.llmos.errors.BadRequestException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.Locale;
import java.util.Optional;

/** The proxy of the environment: HTTPS_PROXY, HTTP_PROXY or ALL_PROXY, in capitals or not, unless NO_PROXY names the host. */
record Proxies(String host, int port, Optional<String> authorization) {
    /** Returns the proxy to a server. A server on this machine has none: it would see the owner's key. */
    static Optional<Proxies> of(Endpoint endpoint, Environment environment) {
        if (endpoint.isLoopback() || isExcluded(endpoint.host(), variable("NO_PROXY", environment).orElse(""))) {
            return Optional.empty();
        }
        return variable(endpoint.isSecure() ? "HTTPS_PROXY" : "HTTP_PROXY", environment)
                .or(() -> variable("ALL_PROXY", environment))
                .map(Proxies::parse);
    }

    private static Optional<String> variable(String name, Environment environment) {
        return environment.get(name.toLowerCase(Locale.ROOT)).or(() -> environment.get(name));
    }

    private static boolean isExcluded(String host, String excluded) {
        for (var each : excluded.split(",")) {
            var name = each.strip().toLowerCase(Locale.ROOT);
            var suffix = name.startsWith(".") ? name : "." + name;
            if (name.equals("*") || (!name.isEmpty() && ("." + host.toLowerCase(Locale.ROOT)).endsWith(suffix))) {
                return true;
            }
        }
        return false;
    }

    private static Proxies parse(String written) {
        try {
            var uri = URI.create(written.contains("://") ? written : "http://" + written);
            if (uri.getHost() != null && "http".equalsIgnoreCase(uri.getScheme())) {
                var user = Optional.ofNullable(uri.getUserInfo())
                        .map(info -> "Basic " + Base64.getEncoder().encodeToString(info.getBytes(StandardCharsets.UTF_8)));
                return new Proxies(uri.getHost(), uri.getPort() < 0 ? 80 : uri.getPort(), user);
            }
        } catch (IllegalArgumentException error) {
            // The message below says what to write.
        }
        throw new BadRequestException(Problems.about("proxy",
                "The proxy '" + written + "' of the environment can't be used. Write it as http://proxy.example:3128."));
    }
}
