package ai.llmos.internal;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;

/** Answers of bytes, which may be larger than the memory. */
public final class Downloads {
    private Downloads() {}

    /** Writes an answer to a file, which has all of it or isn't changed. */
    public static Path to(Path file, Transport transport, Call<?> call) {
        try (var exchange = transport.open(call, transport.new Attempts())) {
            var target = file.toAbsolutePath();
            var part = Files.createTempFile(target.getParent(), ".llmos-", ".part");
            try {
                copy(exchange.body(), part, transport);
                return Files.move(part, target, StandardCopyOption.REPLACE_EXISTING);
            } finally {
                Files.deleteIfExists(part);
            }
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private static void copy(InputStream body, Path part, Transport transport) throws IOException {
        var buffer = new byte[64 << 10];
        try (var out = Files.newOutputStream(part)) {
            for (int num = read(body, buffer, transport); num >= 0; num = read(body, buffer, transport)) {
                out.write(buffer, 0, num);
            }
        }
    }

    private static int read(InputStream body, byte[] buffer, Transport transport) {
        try {
            return body.read(buffer);
        } catch (IOException failure) {
            throw transport.failed(failure);
        }
    }

    /** The lines of an answer, as they come. */
    public static final class Lines implements Source<String> {
        private final Transport transport;
        private final Exchange exchange;
        private final byte[] one = new byte[1];

        public Lines(Transport transport, Call<?> call) {
            this.transport = transport;
            exchange = transport.open(call, transport.new Attempts());
        }

        @Override
        public String next() {
            var line = new ByteArrayOutputStream();
            try {
                while (exchange.body().read(one) >= 0) {
                    if (one[0] == '\n') {
                        return line.toString(StandardCharsets.UTF_8);
                    }
                    line.write(one[0]);
                }
            } catch (IOException failure) {
                throw transport.failed(failure);
            }
            return line.size() == 0 ? null : line.toString(StandardCharsets.UTF_8);
        }

        @Override
        public void close() {
            exchange.close();
        }
    }
}
