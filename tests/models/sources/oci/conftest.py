"""A real registry (Debian's docker-registry) in an empty folder, with and without a password."""

import base64
import json
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest


@pytest.fixture(scope="module")
def database_kind() -> str:
    """One kind is enough: these tests are about the registry, not the database."""
    return "sqlite"


@pytest.fixture(scope="session")
def start_registry(tmp_path_factory) -> Callable[..., str]:
    """Return a function that starts a registry and returns its host and port. It ends with the tests."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("there is no docker-registry here: apt install docker-registry")
    running = []

    def start(htpasswd: str | None = None) -> str:
        folder: Path = tmp_path_factory.mktemp("registry")
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{found.getsockname()[1]}"
        auth = ""
        if htpasswd is not None:
            (folder / "htpasswd").write_text(htpasswd + "\n")
            auth = f"auth:\n  htpasswd:\n    realm: test\n    path: {folder / 'htpasswd'}\n"
        (folder / "config.yml").write_text(
            f"version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {folder / 'data'}\n"
            f"http:\n  addr: {address}\n{auth}"
        )
        running.append(subprocess.Popen([program, "serve", folder / "config.yml"], stderr=subprocess.DEVNULL))
        transport = httpx.HTTPTransport(retries=12)  # waits longer each time, in all far longer than it takes to start
        with httpx.Client(transport=transport) as client:
            client.get(f"http://{address}/v2/")
        return address

    yield start
    for process in running:
        process.terminate()
    for process in running:
        process.wait()


@pytest.fixture(scope="session")
def registry_host(start_registry) -> str:
    return start_registry()


@pytest.fixture
def docker_config(tmp_path) -> Callable[..., Path]:
    """Return a function that writes what `docker login` would."""

    def write(host: str, name: str, password: str) -> Path:
        path = tmp_path / "docker.json"
        auth = base64.b64encode(f"{name}:{password}".encode()).decode()
        path.write_text(json.dumps({"auths": {host: {"auth": auth}}}))
        return path

    return write
