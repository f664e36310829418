"""serve_folder: `llmos app serve`: one application over HTTP, in this process, for whoever has its key."""

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

from llmos.apps import App
from llmos.hosting.continuing import Continuation
from llmos.hosting.folder import AppFolder
from llmos.hosting.http_server import AppHttpServer
from llmos.hosting.listening import address_of, listen, read_key
from llmos.hosting.serving import Served


def serve_folder(folder: Path, host: str, port: int, key_file: Path | None, say: Callable[[str], None]) -> None:
    """Serve the application of a folder until a signal.

    Raises BadRequest for an address that others reach without a key, and Conflict for one in use.
    """
    key = None if key_file is None else read_key(key_file)
    listener = listen(host, port, has_key=key is not None)
    app = AppFolder.open(folder).load()
    say(f"The app {app.name} is at {address_of(listener)}/runs. Press Ctrl-C to stop.")
    asyncio.run(_serve(app, key, listener))


async def _serve(app: App, key: str | None, listener: socket.socket) -> None:
    served = Served(app, key=key)
    await AppHttpServer(served).run_until_stopped(listener, Continuation(served))
