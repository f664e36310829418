package ai.llmos.internal;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;

/**
 * Parses server-sent events from bytes, as the WHATWG's HTML standard (9.2.6) defines. Lines end at CR, LF or CRLF and nowhere
 * else, and an event that isn't ended by an empty line is none.
 */
final class EventDecoder {
    private final long maxBytes;
    private final ByteArrayOutputStream line = new ByteArrayOutputStream(256);
    private final ByteArrayOutputStream data = new ByteArrayOutputStream(256);
    private final ArrayDeque<String> complete = new ArrayDeque<>();
    private boolean hasData;
    private boolean isBehindReturn;

    EventDecoder(long maxBytes) {
        this.maxBytes = maxBytes;
    }

    /** Returns the data of the next event that is complete, or null without one. */
    String poll() {
        return complete.poll();
    }

    void feed(byte[] bytes, int length) throws IOException {
        int first = 0;
        for (int i = 0; i < length; i++) {
            byte c = bytes[i];
            if (c != '\n' && c != '\r') {
                isBehindReturn = false;
                continue;
            }
            if (c == '\n' && isBehindReturn) {
                // The second half of CRLF.
                isBehindReturn = false;
                first = i + 1;
                continue;
            }
            line.write(bytes, first, i - first);
            takeLine();
            isBehindReturn = c == '\r';
            first = i + 1;
        }
        line.write(bytes, first, length - first);
        if (line.size() + (long) data.size() > maxBytes) {
            throw new WireException("an event is larger than " + maxBytes + " bytes");
        }
    }

    private void takeLine() {
        var text = line.toByteArray();
        line.reset();
        if (text.length == 0) {
            if (hasData) {
                complete.add(data.toString(StandardCharsets.UTF_8));
            }
            data.reset();
            hasData = false;
            return;
        }
        boolean isData = text.length >= 4 && text[0] == 'd' && text[1] == 'a' && text[2] == 't' && text[3] == 'a';
        if (!isData || (text.length > 4 && text[4] != ':')) {
            return;
        }
        if (hasData) {
            data.write('\n');
        }
        hasData = true;
        int first = text.length > 5 && text[5] == ' ' ? 6 : 5;
        data.write(text, Math.min(first, text.length), Math.max(0, text.length - first));
    }
}
