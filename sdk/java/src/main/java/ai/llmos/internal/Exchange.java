package ai.llmos.internal;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;

/** An answer that is being received. Closing it early closes the connection, which tells the server to stop. */
public final class Exchange implements AutoCloseable {
    private final Connections connections;
    private final Connection connection;
    private final Response response;
    private final BodyInput body;
    private boolean isClosed;

    Exchange(Connections connections, Connection connection, Response response, String method) throws IOException {
        this.connections = connections;
        this.connection = connection;
        this.response = response;
        body = connection.body(response, method);
    }

    public Response response() {
        return response;
    }

    /** Returns the body, which is read from the connection. */
    public InputStream body() {
        return body;
    }

    /** Reads the whole body. Throws a ReplyTooLarge beyond this limit. */
    byte[] readAll(long maxBytes) throws IOException {
        if (body.announced() > maxBytes) {
            throw new ReplyTooLarge(maxBytes);
        }
        var known = body.announced();
        if (known > 0) {
            var whole = body.readNBytes((int) known);
            // The end of the body is noticed here, so that the connection is used again.
            return whole;
        }
        var built = new ByteArrayOutputStream();
        var piece = new byte[8 << 10];
        for (int num = body.read(piece); num >= 0; num = body.read(piece)) {
            built.write(piece, 0, num);
            if (built.size() > maxBytes) {
                throw new ReplyTooLarge(maxBytes);
            }
        }
        return built.toByteArray();
    }

    /** Gives the connection back if the answer is complete, and closes it otherwise. May be called by any thread, again. */
    @Override
    public void close() {
        synchronized (connection) {
            if (isClosed) {
                return;
            }
            isClosed = true;
        }
        if (body.isComplete() && body.isDelimited() && !response.closesConnection()) {
            connections.giveBack(connection);
        } else {
            connections.discard(connection);
        }
    }

    /** The reply has more bytes than are kept in memory. */
    static final class ReplyTooLarge extends IOException {
        private static final long serialVersionUID = 1;
        final long maxBytes;

        ReplyTooLarge(long maxBytes) {
            super("the reply is larger than " + maxBytes + " bytes");
            this.maxBytes = maxBytes;
        }
    }
}
