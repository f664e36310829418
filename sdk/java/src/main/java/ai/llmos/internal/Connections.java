package ai.llmos.internal;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.SocketException;
import java.nio.channels.SocketChannel;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedDeque;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.SSLSocketFactory;

/** The connections to one server. Those that are idle are used again, the last one first. */
final class Connections {
    private static final int MAX_IDLE = 64;
    private static final long IDLE_NANOS = 30_000_000_000L;

    private final Endpoint endpoint;
    private final Options options;
    private final Proxies proxy;
    private final ConcurrentLinkedDeque<Connection> idle = new ConcurrentLinkedDeque<>();
    private final Set<Connection> open = ConcurrentHashMap.newKeySet();
    private volatile SSLSocketFactory secure;
    private volatile boolean isClosed;

    Connections(Endpoint endpoint, Options options, Environment environment) throws IOException {
        this.endpoint = endpoint;
        this.options = options;
        proxy = Proxies.of(endpoint, environment).orElse(null);
        // Loading the system's certificates takes a tenth of a second. Plain HTTP doesn't need them.
        secure = endpoint.isSecure() ? Trust.sockets(endpoint) : null;
    }

    /** Returns an idle connection, or null if there is none. */
    Connection takeIdle() {
        while (true) {
            var connection = idle.pollFirst();
            if (connection == null || !connection.hasRestedFor(IDLE_NANOS)) {
                return connection;
            }
            discard(connection);
        }
    }

    Connection open() throws IOException {
        var target = proxy == null ? endpoint.host() : proxy.host();
        var channel = connect(target, proxy == null ? endpoint.port() : proxy.port());
        try {
            var socket = channel.socket();
            socket.setTcpNoDelay(true);
            socket.setSoTimeout((int) Math.min(Integer.MAX_VALUE, Math.max(1, options.readTimeoutSeconds() * 1000)));
            if (endpoint.isSecure()) {
                if (proxy != null) {
                    tunnel(new Connection(channel, socket, true));
                }
                socket = secured(socket);
            }
            var connection = new Connection(channel, socket, proxy != null && !endpoint.isSecure());
            open.add(connection);
            if (isClosed) {
                discard(connection);
                throw new IOException("the client is closed");
            }
            return connection;
        } catch (IOException | RuntimeException error) {
            channel.close();
            throw error;
        }
    }

    /** Returns the headers that a proxy needs with each request. */
    Map<String, String> proxyHeaders(Connection connection) {
        return connection.isToProxy() && proxy.authorization().isPresent()
                ? Map.of("Proxy-Authorization", proxy.authorization().get())
                : Map.of();
    }

    void giveBack(Connection connection) {
        connection.rest();
        if (isClosed || idle.size() >= MAX_IDLE) {
            discard(connection);
        } else {
            idle.addFirst(connection);
        }
    }

    void discard(Connection connection) {
        open.remove(connection);
        connection.close();
    }

    void close() {
        isClosed = true;
        idle.clear();
        open.forEach(this::discard);
    }

    private SocketChannel connect(String host, int port) throws IOException {
        IOException failure = new SocketException("the name has no address");
        for (var address : InetAddress.getAllByName(host)) {
            var channel = SocketChannel.open();
            try {
                channel.socket().connect(new InetSocketAddress(address, port), (int) Math.max(1, options.connectTimeoutSeconds() * 1000));
                return channel;
            } catch (IOException error) {
                channel.close();
                failure = error;
                if (Thread.currentThread().isInterrupted()) {
                    break;
                }
            }
        }
        throw new NoConnection(failure);
    }

    private void tunnel(Connection connection) throws IOException {
        var authority = endpoint.uri().getHost() + ":" + endpoint.port();
        Map<String, String> headers = new LinkedHashMap<>(Map.of("Host", authority));
        proxy.authorization().ifPresent(value -> headers.put("Proxy-Authorization", value));
        var response = connection.exchange("CONNECT", authority, headers, null);
        if (!response.isSuccess()) {
            throw new NoConnection(new WireException("the proxy " + proxy.host() + ":" + proxy.port() + " answered with status " + response.status()));
        }
    }

    private Socket secured(Socket socket) throws IOException {
        var tls = (SSLSocket) secure.createSocket(socket, endpoint.host(), endpoint.port(), true);
        var parameters = tls.getSSLParameters();
        parameters.setEndpointIdentificationAlgorithm("HTTPS");
        tls.setSSLParameters(parameters);
        tls.startHandshake();
        return tls;
    }

    /** No connection was made, so that nothing was sent. */
    static final class NoConnection extends IOException {
        private static final long serialVersionUID = 1;

        NoConnection(IOException cause) {
            super(cause.getMessage() == null ? cause.getClass().getSimpleName() : cause.getMessage(), cause);
        }
    }
}
