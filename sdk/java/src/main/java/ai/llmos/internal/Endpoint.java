package ai.llmos.internal;

import ai.llmos.errors.BadRequestException;
import java.io.IOException;
import java.net.URI;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * The address of the server and the key to send to it.
 *
 * @param url without a slash at its end
 * @param key null: no key is sent
 * @param isOwnerKey nobody chose the key: it is the owner's, found on this machine. It goes to no other program
 * @param ca the file of the certificates to trust in place of the system's, or null
 * @param ownCertificate the self-signed certificate of LLMOS_HOME, trusted besides the system's
 */
public record Endpoint(String url, URI uri, String key, boolean isOwnerKey, boolean isLoopback, Path ca, Path ownCertificate) {
    /**
     * Returns the address (given, LLMOS_ENDPOINT, this machine), the key (given, LLMOS_API_KEY or, for a server on this
     * machine and for no other, the owner's), and the certificates to trust (given, LLMOS_CA, the system's and this home's).
     */
    public static Endpoint resolve(String endpoint, String key, Path ca, Environment environment) {
        var written = endpoint == null ? environment.get("LLMOS_ENDPOINT").orElseGet(environment::localEndpoint) : endpoint;
        var uri = parse(written);
        boolean isLoopback = isLoopback(uri.getHost());
        var chosen = key == null || key.isEmpty() ? environment.get("LLMOS_API_KEY").orElse(null) : key;
        var owners = chosen == null && isLoopback ? ownersKey(environment) : null;
        return new Endpoint(
                withoutSlash(written.strip()),
                uri,
                checked(chosen == null ? owners : chosen),
                owners != null,
                isLoopback,
                ca == null ? environment.get("LLMOS_CA").map(Path::of).orElse(null) : ca,
                environment.home().resolve("keys").resolve("tls.pem"));
    }

    public boolean isSecure() {
        return uri.getScheme().equalsIgnoreCase("https");
    }

    public int port() {
        return uri.getPort() >= 0 ? uri.getPort() : isSecure() ? 443 : 80;
    }

    /** Returns the host without the brackets of an IPv6 address. */
    public String host() {
        var host = uri.getHost();
        return host.startsWith("[") ? host.substring(1, host.length() - 1) : host;
    }

    /** Returns the path before that of every call. */
    public String prefix() {
        return uri.getRawPath() == null ? "" : withoutSlash(uri.getRawPath());
    }

    private static URI parse(String endpoint) {
        try {
            var uri = new URI(endpoint.strip());
            var scheme = uri.getScheme();
            if (uri.getHost() != null && ("http".equalsIgnoreCase(scheme) || "https".equalsIgnoreCase(scheme))) {
                return uri;
            }
        } catch (URISyntaxException error) {
            // The message below says what to write.
        }
        throw new BadRequestException(Problems.about(
                "endpoint", "The endpoint '" + endpoint + "' is not a server's address. Write it as http://127.0.0.1:8000."));
    }

    private static String checked(String key) {
        if (key == null || key.chars().allMatch(c -> c > ' ' && c < 127)) {
            return key;
        }
        // It would end the header, and what is behind it would be another one.
        throw new BadRequestException(Problems.about("api_key",
                "The key has a line break, a space or another character that no key has. Copy it again, without what is around it."));
    }

    private static boolean isLoopback(String host) {
        var name = host.toLowerCase(java.util.Locale.ROOT);
        return name.equals("localhost") || name.equals("[::1]") || name.matches("127\\.\\d{1,3}\\.\\d{1,3}\\.\\d{1,3}");
    }

    private static String ownersKey(Environment environment) {
        var given = environment.get("LLMOS_OWNER_KEY");
        if (given.isPresent()) {
            return given.get();
        }
        try {
            var key = Files.readString(environment.home().resolve("keys").resolve("owner")).strip();
            return key.isEmpty() ? null : key;
        } catch (IOException | SecurityException error) {
            // No server was ever started here, or the file belongs to another user: the server asks for the key then.
            return null;
        }
    }

    private static String withoutSlash(String text) {
        int end = text.length();
        while (end > 0 && text.charAt(end - 1) == '/') {
            end--;
        }
        return text.substring(0, end);
    }
}
