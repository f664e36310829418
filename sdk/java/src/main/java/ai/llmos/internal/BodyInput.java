package ai.llmos.internal;

import java.io.IOException;
import java.io.InputStream;

/** The body of one answer: as long as its headers say, in chunks, or to the end of the connection. */
final class BodyInput extends InputStream {
    private static final long UNTIL_CLOSED = Long.MAX_VALUE;

    private final WireInput wire;
    private final boolean isChunked;
    private long left;
    private boolean isComplete;

    BodyInput(WireInput wire, Response response, String method) throws IOException {
        this.wire = wire;
        isChunked = response.header("transfer-encoding").filter(coding -> coding.toLowerCase(java.util.Locale.ROOT).endsWith("chunked")).isPresent();
        left = isChunked ? 0 : response.header("content-length").map(BodyInput::parseLength).orElse(UNTIL_CLOSED);
        if (left < 0) {
            throw new WireException("the length of the answer is no number");
        }
        if (!response.hasBody(method)) {
            left = 0;
            isComplete = true;
        }
        isComplete |= !isChunked && left == 0;
    }

    /** Returns whether the length was given, so that the connection can be used again behind the body. */
    boolean isDelimited() {
        return isChunked || isComplete || left != UNTIL_CLOSED;
    }

    boolean isComplete() {
        return isComplete;
    }

    /** Returns the bytes that are announced, or a larger number than any. */
    long announced() {
        return isChunked ? 0 : left == UNTIL_CLOSED ? 0 : left;
    }

    @Override
    public int read() throws IOException {
        var one = new byte[1];
        return read(one, 0, 1) < 0 ? -1 : one[0] & 255;
    }

    @Override
    public int read(byte[] into, int offset, int length) throws IOException {
        if (!isComplete && isChunked && left == 0) {
            beginChunk();
        }
        if (isComplete) {
            return -1;
        }
        int num = wire.read(into, offset, (int) Math.min(length, left));
        if (num < 0) {
            if (left == UNTIL_CLOSED) {
                isComplete = true;
                return -1;
            }
            throw new WireException("the server closed the connection");
        }
        if (left != UNTIL_CLOSED) {
            consume(num);
        }
        return num;
    }

    private void consume(int num) throws IOException {
        left -= num;
        if (left > 0) {
            return;
        }
        if (!isChunked) {
            isComplete = true;
        } else if (!wire.readLine().isEmpty()) {
            throw new WireException("a chunk of the answer is longer than announced");
        }
    }

    private void beginChunk() throws IOException {
        var size = wire.readLine();
        int semicolon = size.indexOf(';');
        try {
            left = Long.parseLong((semicolon < 0 ? size : size.substring(0, semicolon)).strip(), 16);
        } catch (NumberFormatException error) {
            left = -1;
        }
        if (left < 0) {
            throw new WireException("the size of a chunk is no number");
        }
        if (left == 0) {
            while (!wire.readLine().isEmpty()) {
                // Trailers say nothing that is needed here.
            }
            isComplete = true;
        }
    }

    private static long parseLength(String length) {
        return length.matches("\\d{1,18}") ? Long.parseLong(length) : -1;
    }
}
