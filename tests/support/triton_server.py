"""Triton Inference Server as the wheel of nvidia-pytriton carries it. `make triton` installs it.

The wheel needs an older NumPy than LLMOS does, so it has an environment of its own in `.triton`.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.looking import pause_thread

FOLDER = Path(__file__).parents[2] / ".triton"

_STREAM = Path(__file__).parent / "triton_stream.py"

_SITE = FOLDER / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"


@dataclass
class TritonServer:
    process: "subprocess.Popen[bytes]"
    url: str
    grpc_address: str
    repository: Path
    log: Path

    @property
    def address(self) -> str:
        return self.url.removeprefix("http://")

    def post(self, path: str, body: Any = None) -> httpx.Response:
        return httpx.post(f"{self.url}/v2/{path}", json=body or {}, timeout=60)

    def load(self, name: str) -> str:
        """Load a model, or load it again, and return why it can't be loaded, or nothing."""
        reply = self.post(f"repository/models/{name}/load")
        return "" if reply.is_success else str(reply.json()["error"])

    def is_up(self) -> bool:
        return self.process.poll() is None

    def stream(self, model: str, text: str, *options: str) -> list[dict[str, Any]]:
        """Ask over gRPC, with Triton's client, and return the outputs of each response."""
        command = [FOLDER / "bin" / "python", _STREAM, self.grpc_address, model, text, *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=_environ())
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def require_triton() -> None:
    """Skip the test where there is no Triton, except in CI."""
    missing = None
    if not (_SITE / "pytriton").is_dir():
        missing = "needs Triton Inference Server: make triton"
    elif not sysconfig.get_config_var("Py_ENABLE_SHARED"):
        missing = "needs a Python with a shared library, which Triton's Python backend loads"
    if missing is not None:
        assert not os.environ.get("CI"), missing
        pytest.skip(missing)


@contextlib.contextmanager
def triton_server(**variables: str) -> Iterator[TritonServer]:
    """Start Triton with an empty repository, whose models a test loads.

    `variables`: what its environment has besides, which its models see.
    """
    require_triton()
    port, grpc_port = _free_ports(2)
    folder = Path(tempfile.mkdtemp(prefix="llmos-triton-"))
    (repository := folder / "models").mkdir()
    server = TritonServer(
        process=_start(folder, port, grpc_port, variables),
        url=f"http://127.0.0.1:{port}",
        grpc_address=f"127.0.0.1:{grpc_port}",
        repository=repository,
        log=folder / "log",
    )
    try:
        while not _answers(server):
            assert server.is_up(), server.log.read_text(errors="replace")
            pause_thread()
        yield server
    finally:
        server.end()
        shutil.rmtree(folder, ignore_errors=True)


def _free_ports(num: int) -> list[int]:
    """Return ports that are free now: Triton takes no port 0."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(num)]
        return [each.getsockname()[1] for each in sockets]


def _answers(server: TritonServer) -> bool:
    try:
        return httpx.get(f"{server.url}/v2/health/live", timeout=10).is_success
    except httpx.TransportError:
        return False


def _start(folder: Path, port: int, grpc_port: int, variables: dict[str, str]) -> "subprocess.Popen[bytes]":
    triton = _SITE / "pytriton" / "tritonserver"
    backend = folder / "backends" / "python"
    shutil.copytree(triton / "backends" / "python", backend)
    stub = triton / "python_backend_stubs" / f"{sys.version_info.major}.{sys.version_info.minor}"
    shutil.copytree(stub, backend, dirs_exist_ok=True)
    libraries = [str(_SITE / "nvidia_pytriton.libs"), str(sysconfig.get_config_var("LIBDIR"))]
    kept = _environ()
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [
                str(triton / "bin" / "tritonserver"),
                f"--model-repository={folder / 'models'}",
                f"--backend-directory={folder / 'backends'}",
                "--model-control-mode=explicit",
                "--http-address=127.0.0.1",
                f"--http-port={port}",
                "--grpc-address=127.0.0.1",
                f"--grpc-port={grpc_port}",
                "--allow-metrics=false",
            ],
            # The interpreter in the backend finds the packages of the first python3 in PATH.
            env=kept | {"PATH": f"{FOLDER / 'bin'}:{kept['PATH']}", "LD_LIBRARY_PATH": ":".join(libraries)} | variables,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("LLMOS_", "PYTHON"))}
