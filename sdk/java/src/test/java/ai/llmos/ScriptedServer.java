package ai.llmos;

import ai.llmos.json.Json;
import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** A server that answers each request with the next reply of its script, and keeps what it was asked. */
final class ScriptedServer implements AutoCloseable {
    /** A request as it came. */
    record Request(String method, String path, Map<String, String> headers, Object body) {}

    /** Writes an answer. */
    interface Reply {
        void write(OutputStream out, Connection connection) throws Exception;
    }

    /** The connection that a request came on. */
    final class Connection {
        private final InputStream in;
        boolean isOver;

        Connection(InputStream in) {
            this.in = in;
        }

        /** Returns the request that is answered. */
        Request last() {
            return received.get(received.size() - 1);
        }

        /** Waits until the client hangs up. */
        void awaitHangUp() throws IOException {
            isOver = true;
            try {
                while (in.read() >= 0) {
                    // Nothing is expected.
                }
            } finally {
                hungUp.countDown();
            }
        }
    }

    final List<Request> received = java.util.Collections.synchronizedList(new ArrayList<>());
    /** Counted down when a client went away from an answer that doesn't end. */
    final CountDownLatch hungUp = new CountDownLatch(1);
    final CountDownLatch asked = new CountDownLatch(1);
    private final BlockingQueue<Reply> script = new LinkedBlockingQueue<>();
    private final ServerSocket listening;

    ScriptedServer() {
        try {
            listening = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        start(this::accept);
    }

    String url() {
        return "http://127.0.0.1:" + listening.getLocalPort();
    }

    int port() {
        return listening.getLocalPort();
    }

    /** Returns a client of this server with a key, which lets no time pass between attempts. */
    LLMOS client() {
        return builder().build();
    }

    LLMOS.Builder builder() {
        return LLMOS.builder().environment(Map.of()).endpoint(url()).apiKey("key").waiting(seconds -> {});
    }

    ScriptedServer replies(Reply... replies) {
        script.addAll(List.of(replies));
        return this;
    }

    @Override
    public void close() {
        try {
            listening.close();
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    // The replies there are.

    static Reply json(Object body) {
        return json(200, body);
    }

    static Reply json(int status, Object body, String... headers) {
        return raw("HTTP/1.1 " + status + " Status\r\nContent-Type: application/json\r\n" + String.join("", headers), Json.write(body));
    }

    static Reply error(int status, String code, String... headers) {
        return json(status, Map.of("error", Map.of("message", "No.", "code", code)), headers);
    }

    /** The head without the length of its body, and the body. */
    static Reply raw(String head, String body) {
        return (out, connection) -> {
            var bytes = body.getBytes(StandardCharsets.UTF_8);
            write(out, head + "Content-Length: " + bytes.length + "\r\n\r\n");
            out.write(bytes);
            out.flush();
        };
    }

    static Reply events(Object... events) {
        return (out, connection) -> {
            beginEvents(out);
            for (var event : events) {
                writeEvent(out, event);
            }
            write(out, "0\r\n\r\n");
        };
    }

    /** Events, and then nothing until the client hangs up. */
    Reply hanging(Object... events) {
        return (out, connection) -> {
            beginEvents(out);
            for (var event : events) {
                writeEvent(out, event);
            }
            connection.awaitHangUp();
        };
    }

    /** Bytes as they are, and then the end of the connection. */
    static Reply bytes(String text) {
        return (out, connection) -> {
            write(out, text);
            connection.isOver = true;
        };
    }

    static void beginEvents(OutputStream out) throws IOException {
        write(out, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n");
    }

    static void writeEvent(OutputStream out, Object event) throws IOException {
        writeChunk(out, "data: " + (event instanceof String text ? text : Json.write(event)) + "\n\n");
    }

    static void writeChunk(OutputStream out, String text) throws IOException {
        var bytes = text.getBytes(StandardCharsets.UTF_8);
        write(out, Integer.toHexString(bytes.length) + "\r\n");
        out.write(bytes);
        write(out, "\r\n");
    }

    static void write(OutputStream out, String text) throws IOException {
        out.write(text.getBytes(StandardCharsets.ISO_8859_1));
        out.flush();
    }

    // The server.

    private void accept() {
        try {
            while (true) {
                var socket = listening.accept();
                start(() -> serve(socket));
            }
        } catch (IOException error) {
            // It is closed.
        }
    }

    private void serve(Socket socket) {
        try (socket) {
            socket.setTcpNoDelay(true);
            var in = new BufferedInputStream(socket.getInputStream());
            var connection = new Connection(in);
            while (!connection.isOver) {
                var request = read(in);
                if (request == null) {
                    return;
                }
                received.add(request);
                asked.countDown();
                var reply = script.poll(20, TimeUnit.SECONDS);
                if (reply == null) {
                    throw new AssertionError("no reply is left for " + request);
                }
                reply.write(socket.getOutputStream(), connection);
            }
        } catch (Exception error) {
            // The client went away, or the test is over.
        }
    }

    private static Request read(InputStream in) throws IOException {
        var line = readLine(in);
        if (line == null) {
            return null;
        }
        var parts = line.split(" ");
        Map<String, String> headers = new TreeMap<>();
        for (var header = readLine(in); header != null && !header.isEmpty(); header = readLine(in)) {
            int colon = header.indexOf(':');
            headers.put(header.substring(0, colon).toLowerCase(Locale.ROOT), header.substring(colon + 1).strip());
        }
        var bytes = in.readNBytes(Integer.parseInt(headers.getOrDefault("content-length", "0")));
        boolean isJson = "application/json".equals(headers.get("content-type"));
        return new Request(parts[0], parts[1], headers, isJson && bytes.length > 0 ? Json.read(bytes) : null);
    }

    private static String readLine(InputStream in) throws IOException {
        var line = new StringBuilder();
        for (int c = in.read(); c != '\n'; c = in.read()) {
            if (c < 0) {
                return null;
            }
            if (c != '\r') {
                line.append((char) c);
            }
        }
        return line.toString();
    }

    private static void start(Runnable work) {
        var thread = new Thread(work);
        thread.setDaemon(true);
        thread.start();
    }
}
