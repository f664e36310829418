package ai.llmos.internal;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;

/** Reads the parts of HTTP/1.1 answers from a connection: heads, pieces of bodies, and lines between chunks. */
final class WireInput {
    private static final int BUFFER_BYTES = 8 << 10;
    private static final int MAX_LINE_BYTES = 64 << 10;
    private static final int MAX_HEADERS = 256;

    private final InputStream stream;
    private final byte[] buffer = new byte[BUFFER_BYTES];
    private int first;
    private int end;
    private boolean hasRead;

    WireInput(InputStream stream) {
        this.stream = stream;
    }

    /** Returns whether any byte has come since the last call of {@link #expectAnswer}. */
    boolean hasRead() {
        return hasRead;
    }

    void expectAnswer() {
        hasRead = first < end;
    }

    Response readHead() throws IOException {
        var line = readLine();
        var parts = line.split(" ", 3);
        if (!parts[0].startsWith("HTTP/1.") || parts.length < 2 || !parts[1].matches("\\d{3}")) {
            throw new WireException("the answer isn't HTTP");
        }
        Map<String, String> headers = new HashMap<>();
        for (var header = readLine(); !header.isEmpty(); header = readLine()) {
            int colon = header.indexOf(':');
            if (colon < 1 || headers.size() >= MAX_HEADERS) {
                throw new WireException(colon < 1 ? "a header of the answer has no name" : "the answer has too many headers");
            }
            headers.merge(header.substring(0, colon).toLowerCase(Locale.ROOT), header.substring(colon + 1).strip(),
                    (one, other) -> one + ", " + other);
        }
        return new Response(Integer.parseInt(parts[1]), headers, parts[0].equals("HTTP/1.0"));
    }

    String readLine() throws IOException {
        ByteArrayOutputStream before = null;
        while (true) {
            for (int i = first; i < end; i++) {
                if (buffer[i] == '\n') {
                    var line = text(before, i);
                    first = i + 1;
                    return line;
                }
            }
            before = before == null ? new ByteArrayOutputStream() : before;
            before.write(buffer, first, end - first);
            if (before.size() > MAX_LINE_BYTES) {
                throw new WireException("a line of the answer is longer than 64 KiB");
            }
            first = end;
            fill();
        }
    }

    private String text(ByteArrayOutputStream before, int lineEnd) {
        String line;
        if (before == null) {
            line = new String(buffer, first, lineEnd - first, StandardCharsets.ISO_8859_1);
        } else {
            before.write(buffer, first, lineEnd - first);
            line = before.toString(StandardCharsets.ISO_8859_1);
        }
        return line.endsWith("\r") ? line.substring(0, line.length() - 1) : line;
    }

    /** Reads what has come, at least one byte and at most `max` bytes. Returns -1 at the end of the connection. */
    int read(byte[] into, int offset, int max) throws IOException {
        if (first == end && !refill()) {
            return -1;
        }
        int num = Math.min(max, end - first);
        System.arraycopy(buffer, first, into, offset, num);
        first += num;
        return num;
    }

    private void fill() throws IOException {
        if (!refill()) {
            throw new WireException("the server closed the connection");
        }
    }

    private boolean refill() throws IOException {
        int num = stream.read(buffer, 0, buffer.length);
        first = 0;
        end = Math.max(num, 0);
        hasRead |= num > 0;
        return num > 0;
    }
}
