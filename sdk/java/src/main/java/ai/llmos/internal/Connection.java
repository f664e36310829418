package ai.llmos.internal;

import java.io.IOException;
import java.io.OutputStream;
import java.net.Socket;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.util.Map;

/** One connection to the server, which carries one exchange after another. Another thread may abort it at any time. */
final class Connection {
    private final SocketChannel channel;
    private final Socket socket;
    private final OutputStream out;
    private final WireInput in;
    private final boolean isToProxy;
    boolean isProven;
    boolean wasUsed;
    private long idleSince;

    /** @param isToProxy requests name the whole address of what they are for */
    Connection(SocketChannel channel, Socket socket, boolean isToProxy) throws IOException {
        this.channel = channel;
        this.socket = socket;
        this.isToProxy = isToProxy;
        out = socket.getOutputStream();
        in = new WireInput(socket.getInputStream());
    }

    boolean isToProxy() {
        return isToProxy;
    }

    /** Sends a request and returns the head of its answer. */
    Response exchange(String method, String target, Map<String, String> headers, byte[] body) throws IOException {
        var head = new StringBuilder(256).append(method).append(' ').append(target).append(" HTTP/1.1\r\n");
        headers.forEach((name, value) -> head.append(name).append(": ").append(value).append("\r\n"));
        if (body != null || !method.equals("GET")) {
            head.append("Content-Length: ").append(body == null ? 0 : body.length).append("\r\n");
        }
        in.expectAnswer();
        var response = sendAndRead(head.append("\r\n").toString().getBytes(StandardCharsets.ISO_8859_1), body);
        while (response.status() < 200) {
            response = in.readHead();
        }
        return response;
    }

    private Response sendAndRead(byte[] head, byte[] body) throws IOException {
        try {
            send(head, body);
        } catch (IOException failure) {
            // The server may have answered, such as that the body is too large, and closed its side.
            try {
                return in.readHead();
            } catch (IOException noAnswer) {
                throw failure;
            }
        }
        return in.readHead();
    }

    /** Sends both in one packet where they are small: two would wait for each other. */
    private void send(byte[] head, byte[] body) throws IOException {
        if (body == null) {
            out.write(head);
        } else if (body.length < 16 << 10) {
            var whole = java.util.Arrays.copyOf(head, head.length + body.length);
            System.arraycopy(body, 0, whole, head.length, body.length);
            out.write(whole);
        } else {
            out.write(head);
            out.write(body);
        }
        out.flush();
    }

    BodyInput body(Response response, String method) throws IOException {
        return new BodyInput(in, response, method);
    }

    /** Returns whether the answer to the last request has begun. */
    boolean hasBegunToAnswer() {
        return in.hasRead();
    }

    void rest() {
        wasUsed = true;
        idleSince = System.nanoTime();
    }

    boolean hasRestedFor(long nanos) {
        return System.nanoTime() - idleSince > nanos;
    }

    /** Closes it, also while another thread reads from it: that one gets an exception. */
    void close() {
        try {
            // Not the socket: closing one with TLS waits for whoever reads from it.
            channel.close();
        } catch (IOException error) {
            // It is gone.
        }
    }
}
