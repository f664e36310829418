"""listen: the socket that a server accepts connections on."""

import errno
import socket

from llmos.core.errors import BadRequest, Conflict


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on the address. Raises BadRequest for no address, Conflict for one in use."""
    if not 0 <= port <= 65535:
        raise BadRequest(f"{port} is not a port: --port takes 1 to 65535, or 0 for any free one.", param="port")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise BadRequest(f"{host}:{port} is not an address of this machine ({error}). Try --host 127.0.0.1.") from None
    # asyncio turns Nagle's algorithm off where the socket says that it is TCP. Clients would wait for 40 ms otherwise.
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen()  # Two sockets may be bound to a port as long as neither listens.
    except OSError as error:
        listener.close()
        is_elsewhere = error.errno == errno.EADDRNOTAVAIL
        advice = "Choose an address of this machine: --host 127.0.0.1" if is_elsewhere else "Choose another: --port"
        raise Conflict(f"Can't serve on {host}:{port}: {error.strerror}. {advice}") from None
    listener.set_inheritable(False)
    return listener
