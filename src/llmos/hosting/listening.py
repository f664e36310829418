"""The address that an application is served at, and the key that its callers send."""

import socket
from ipaddress import ip_address
from pathlib import Path

from llmos.core.errors import BadRequest, Conflict

_MIN_KEY = 16


def listen(host: str, port: int, *, has_key: bool) -> socket.socket:
    """Listen on an address. Raises BadRequest for one that others reach without a key, and Conflict for one in use."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise BadRequest(f"{host} is not an address of this machine ({error}).", param="host") from None
    if not has_key and not ip_address(str(address[0]).partition("%")[0]).is_loopback:
        raise BadRequest(
            f"With --host {host}, other machines reach the app, and anybody there could run it. Give it a key:"
            " --key-file FILE",
            param="host",
        )
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen()
    except OSError as error:
        listener.close()
        raise Conflict(f"Can't serve on {host}:{port}: {error.strerror}. Choose another: --port") from None
    return listener


def address_of(listener: socket.socket) -> str:
    """Return the URL of what listens."""
    host, port, *_ = listener.getsockname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def read_key(path: Path) -> str:
    """Return the key in a file. Raises BadRequest for one that can't be read, or could be guessed."""
    try:
        key = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"The key in {path} can't be read: {error}.", param="key_file") from None
    if len(key) < _MIN_KEY or not key.isascii() or not key.isprintable() or " " in key:
        raise BadRequest(
            f"The key in {path} needs at least {_MIN_KEY} printable characters of ASCII, such as the output of:"
            " openssl rand -hex 32",
            param="key_file",
        )
    return key
