package ai.llmos.internal;

import ai.llmos.errors.BadRequestException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocketFactory;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509TrustManager;

/** The certificates that an https server is checked against. */
final class Trust {
    private Trust() {}

    /** Returns the maker of TLS connections. Throws a BadRequestException for a file of certificates that can't be used. */
    static SSLSocketFactory sockets(Endpoint endpoint) throws IOException {
        try {
            List<X509Certificate> trusted = endpoint.ca() == null ? new ArrayList<>(ofSystem()) : read(endpoint.ca());
            if (endpoint.ca() == null) {
                trusted.addAll(ownOf(endpoint.ownCertificate()));
            }
            var context = SSLContext.getInstance("TLS");
            context.init(null, factoryOf(trusted).getTrustManagers(), null);
            return context.getSocketFactory();
        } catch (GeneralSecurityException error) {
            throw new IOException("TLS can't be used: " + error.getMessage(), error);
        }
    }

    private static List<X509Certificate> ofSystem() throws GeneralSecurityException {
        var factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        factory.init((KeyStore) null);
        return Arrays.stream(factory.getTrustManagers())
                .filter(X509TrustManager.class::isInstance)
                .flatMap(manager -> Arrays.stream(((X509TrustManager) manager).getAcceptedIssuers()))
                .toList();
    }

    private static TrustManagerFactory factoryOf(List<X509Certificate> trusted) throws GeneralSecurityException, IOException {
        var store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        for (int i = 0; i < trusted.size(); i++) {
            store.setCertificateEntry("certificate-" + i, trusted.get(i));
        }
        var factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        factory.init(store);
        return factory;
    }

    private static List<X509Certificate> read(Path file) {
        String reason;
        try {
            var found = certificatesIn(file);
            if (!found.isEmpty()) {
                return found;
            }
            reason = "it has no certificate in PEM form";
        } catch (IOException error) {
            reason = Files.exists(file) ? error.getMessage() : "there is no such file";
        } catch (GeneralSecurityException error) {
            reason = "it has no certificate in PEM form";
        }
        throw new BadRequestException(Problems.about("ca", "The certificates " + file + " can't be used: " + reason + "."));
    }

    private static List<X509Certificate> ownOf(Path file) {
        try {
            return Files.isReadable(file) ? certificatesIn(file) : List.of();
        } catch (IOException | GeneralSecurityException error) {
            return List.of();
        }
    }

    private static List<X509Certificate> certificatesIn(Path file) throws IOException, GeneralSecurityException {
        try (var stream = Files.newInputStream(file)) {
            List<X509Certificate> found = new ArrayList<>();
            for (var each : CertificateFactory.getInstance("X.509").generateCertificates(stream)) {
                found.add((X509Certificate) each);
            }
            return found;
        }
    }
}
