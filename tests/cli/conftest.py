"""The `llmos` command, run in this process on an LLMOS_HOME of its own, and a real server."""

import io
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from llmos.cli import main
from llmos.core import config
from llmos.core.config import load_settings
from support import ONE_THREAD
from support.default_model import pull_stored

OWN_SETTINGS = ("LLMOS_API_KEY", "LLMOS_OWNER_KEY", "LLMOS_ENDPOINT", "LLMOS_DATABASE_URL", "LLMOS_CATALOG")


@dataclass(frozen=True)
class Outcome:
    status: int
    out: str
    err: str


Cli = Callable[..., Outcome]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty LLMOS_HOME, no setting from outside, and no server where the command looks for one."""
    for name in OWN_SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LLMOS_HOME", str(tmp_path))
    with socket.socket() as taken:  # Bound and not listening: nobody else can serve there meanwhile.
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setattr(config, "DEFAULT_PORT", taken.getsockname()[1])
        yield tmp_path


@pytest.fixture
def cli(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run `llmos` with these arguments; `stdin` is what is piped in."""

    def run(*arguments: str, stdin: str = "") -> Outcome:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        status = main(list(arguments))
        said = capsys.readouterr()
        return Outcome(status, said.out, said.err)

    return run


@pytest.fixture(scope="session")
def smollm2_home(smollm2_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An LLMOS_HOME that holds the real model."""
    from llmos.models import open_registry

    home = tmp_path_factory.mktemp("smollm2-home")
    pull_stored(open_registry(load_settings({"LLMOS_HOME": str(home)})), smollm2_path)
    return home


@dataclass(frozen=True)
class Served:
    """A running `llmos serve`."""

    url: str
    home: Path
    process: "subprocess.Popen[str]"


@pytest.fixture(scope="session")
def served(smollm2_home: Path) -> Iterator[Served]:
    """`llmos serve` with the real model, as a process of its own."""
    with Serving(smollm2_home) as served:
        yield served


@pytest.fixture(scope="session")
def serve() -> type["Serving"]:
    return Serving


class Serving:
    """Start `llmos serve --port 0 ARGUMENTS`, wait until it is ready, end it with SIGTERM."""

    def __init__(self, home: Path, *arguments: str, **environ: str) -> None:
        self._home, self._arguments, self._environ = home, arguments, environ

    def __enter__(self) -> Served:
        environ = {name: value for name, value in os.environ.items() if name not in OWN_SETTINGS}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "llmos", "serve", "--port", "0", *self._arguments],
            env={**environ, **ONE_THREAD, **self._environ, "LLMOS_HOME": str(self._home)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        # A server that never gets ready must not hang the tests.
        watchdog = threading.Timer(120, self.process.kill)
        watchdog.start()
        said, url = "", ""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            said += line
            if "http://" in line and not url:
                url = "http://" + line.split("http://")[1].split(";")[0].strip()
            if line.startswith("Ready"):
                break
        else:
            pytest.fail(f"The server ended with status {self.process.wait()} before it was ready:\n{said}")
        watchdog.cancel()
        return Served(url, self._home, self.process)

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=60)
