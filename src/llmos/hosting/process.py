"""The process of a deployed application: `python -m llmos.hosting.process`, started by the server's supervisor.

Its first line of standard input says what it serves, with its key: no argument and no environment variable that others
on the machine can see has it. When that input ends, the server has died, and the process ends at once.
"""

import asyncio
import ctypes
import logging
import os
import resource
import signal
import socket
import sys
import threading
from pathlib import Path

import msgspec

from llmos.core.errors import LLMOSError

_PR_SET_PDEATHSIG = 1
_MAX_FILES = 4096
STOP = b"stop\n"
"""The line that tells the process to end with its last run."""
_LOST_STATUS = 70
"""The exit status of a process whose server has died."""


class ProcessSettings(msgspec.Struct, kw_only=True):
    """The settings that the supervisor sends to the process."""

    folder: str
    """The folder of the application."""
    version: int | None = None
    """The number of the version in it."""
    listener: int
    """The file descriptor of the socket that it serves."""
    environment: dict[str, str]
    """The endpoint, its key, and the variables that the manifest lists."""
    memory_mb: int
    continue_after_seconds: float = 0.0
    given_up: list[str] = []
    """Runs that ended the process each time it continued them. It leaves them alone."""


def main() -> int:
    settings = msgspec.json.decode(sys.stdin.buffer.readline(), type=ProcessSettings)
    _end_with_the_server()
    os.environ.update(settings.environment)
    _limit(settings)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        asyncio.run(_serve(settings))
    except LLMOSError as error:
        print(f"Error: {error.message}", file=sys.stderr, flush=True)
        return 1
    return 0


async def _serve(settings: ProcessSettings) -> None:
    # Imported here: the limits hold for what these import, too.
    from llmos.hosting.continuing import CONTINUED, Continuation
    from llmos.hosting.folder import AppFolder
    from llmos.hosting.http_server import AppHttpServer
    from llmos.hosting.serving import Served

    app = AppFolder.open(Path(settings.folder)).load()
    app.version = settings.version
    listener = socket.socket(fileno=settings.listener)
    served = Served(app)
    server = AppHttpServer(served)
    continuation = Continuation(served, given_up=settings.given_up, notes=Path(CONTINUED))
    await server.run_until_stopped(listener, continuation, after_seconds=settings.continue_after_seconds)


def _end_with_the_server() -> None:
    """End this process when the server ends, however it does."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_watch_input, daemon=True, name="server").start()


def _watch_input() -> None:
    while line := sys.stdin.buffer.readline():
        if line == STOP:
            os.kill(os.getpid(), signal.SIGTERM)
    os._exit(_LOST_STATUS)


def _limit(settings: ProcessSettings) -> None:
    memory_bytes = settings.memory_mb << 20
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = _MAX_FILES if most == resource.RLIM_INFINITY else min(_MAX_FILES, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Python would wait for the thread that reads the input, and abort.
    os._exit(status)
