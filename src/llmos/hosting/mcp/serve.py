"""Serves an application to MCP clients: over standard input and output, or over HTTP.

    python -m llmos.hosting.mcp.serve FOLDER [--port 8080] [--tools]

With --port, the address is http://127.0.0.1:8080/mcp. Another --host than this machine needs a key: --key-file FILE.
"""

import argparse
import asyncio
import hmac
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from llmos.core.errors import LLMOSError
from llmos.hosting.folder import AppFolder
from llmos.hosting.listening import address_of, listen, read_key
from llmos.hosting.mcp.connect import require_mcp


@dataclass(frozen=True, kw_only=True, slots=True)
class McpOptions:
    """The way in which an application is served to MCP clients."""

    port: int | None = None
    """None: over standard input and output."""
    host: str = "127.0.0.1"
    key_file: Path | None = None
    """A file with the key that clients send over HTTP, as `Authorization: Bearer`."""
    tools: bool = False
    """Offer the tools of the application by themselves, too, but those that wait for a person or are effects."""


def run(folder: Path, options: McpOptions) -> None:
    """Serve the application of a folder until the client ends, or Ctrl-C. Raises BadRequest and Conflict."""
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(folder, options))


async def serve(folder: Path, options: McpOptions) -> None:
    """run(), awaited."""
    require_mcp()
    from mcp.server.stdio import stdio_server

    from llmos.hosting.mcp.app_server import AppServer

    key = None if options.key_file is None else read_key(options.key_file)
    listener = None if options.port is None else listen(options.host, options.port, has_key=key is not None)
    opened = AppFolder.open(folder)
    app = opened.load()
    server = AppServer(app, description=opened.manifest.description, offers_tools=options.tools).server()
    async with app:
        if listener is None:
            async with stdio_server() as (arriving, leaving):
                await server.run(arriving, leaving, server.create_initialization_options())
        else:
            web: Any = server.streamable_http_app(host=options.host)
            address = f"{address_of(listener)}/mcp"
            print(f"The app {app.name} is at {address}. Press Ctrl-C to stop.", file=sys.stderr, flush=True)
            guarded = web if key is None else _Guarded(web, key)
            config = uvicorn.Config(guarded, log_level="warning", access_log=False, server_header=False, ws="none")
            await uvicorn.Server(config).serve(sockets=[listener])


class _Guarded:
    """Lets only those pass who have the key."""

    def __init__(self, app: Callable[..., Awaitable[None]], key: str) -> None:
        self._app, self._expected = app, f"Bearer {key}".encode()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not hmac.compare_digest(given, self._expected):
                headers = [(b"www-authenticate", b"Bearer"), (b"content-length", b"0")]
                await send({"type": "http.response.start", "status": 401, "headers": headers})
                await send({"type": "http.response.body", "body": b""})
                return
        await self._app(scope, receive, send)


def main(arguments: list[str] | None = None) -> int:
    """Serve the application of a folder. Returns an exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--port", type=int, help="serve over HTTP, 0 on any port; without it, over standard input and output"
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--key-file", type=Path, metavar="FILE", help="a file with the key that clients send")
    parser.add_argument("--tools", action="store_true", help="offer the tools of the application by themselves, too")
    given = vars(parser.parse_args(arguments))
    try:
        run(given.pop("folder"), McpOptions(**given))
    except LLMOSError as error:
        print(error.message, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
