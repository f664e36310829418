"""`llmos serve` in a process of its own, for benchmarks of the server."""

import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from llmos.core.config import load_settings
from llmos.models import open_registry
from llmos.models.transfer.transfers import Transfers

KEY = secrets.token_hex(16)
"""The owner's key of the servers of this run."""


@dataclass(frozen=True)
class Served:
    process: "subprocess.Popen[bytes]"
    url: str
    log: Path
    """The output of the server. It is no pipe: nobody reads it during a benchmark, and a full pipe stops the server."""


def start(home: Path, model: Path, names: Sequence[str], settings: Mapping[str, str] | None = None) -> Served:
    """Import a model under these names into an empty home, serve the first, and return when it is ready.

    `settings`: further environment variables. Other LLMOS_* variables are not passed on.
    """
    named = home / "model.gguf"  # In the store, a file is named by its digest.
    named.symlink_to(model.resolve())
    registry = open_registry(load_settings({"LLMOS_HOME": str(home)}))
    for name in names:
        Transfers(registry).import_path(named, name)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LLMOS_")}
    environ |= {"LLMOS_HOME": str(home), "LLMOS_OWNER_KEY": KEY, **(settings or {})}
    log = home / "serve.log"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "llmos", "serve", names[0], "--port", "0"]
        process = subprocess.Popen(command, env=environ, stdout=output, stderr=subprocess.STDOUT)
    while "Ready" not in (said := log.read_text()):
        if process.poll() is not None:
            sys.exit(f"The server ended before it was ready:\n{said}")
        time.sleep(0.1)
    address = re.search(r"http://[\d.]+:\d+", said)
    assert address, said
    return Served(process, address[0], log)


@contextmanager
def served(model: Path, *names: str, settings: Mapping[str, str] | None = None) -> Iterator[Served]:
    """Yield a server in a home of its own, and end it afterwards."""
    with tempfile.TemporaryDirectory(prefix="llmos-benchmark-") as home:
        server = start(Path(home), model, names, settings)
        try:
            yield server
        finally:
            server.process.send_signal(signal.SIGTERM)
            server.process.wait()
