"""docs/operations.md: its configurations are valid, and its commands do what it says."""

import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from llmos.core.config import load_settings
from llmos.models import open_registry
from llmos.models.transfer.transfers import Transfers
from llmos.security.auth import open_owner_key
from support.doc_pages import DocPage
from support.tiny_gguf import write_gguf

pytestmark = pytest.mark.process

PAGE = DocPage("operations.md")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    (unit,) = PAGE.blocks("ini")
    program = tmp_path / "llmos"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    path = tmp_path / "llmos.service"
    path.write_text(unit.replace("/opt/llmos/bin/llmos", str(program)).replace("User=llmos", "User=root"))
    outcome = subprocess.run(["systemd-analyze", "verify", str(path)], capture_output=True, text=True, check=False)
    assert [line for line in outcome.stderr.splitlines() if "llmos.service" in line] == []


def test_a_restored_backup_has_the_models_and_the_key(tmp_path: Path) -> None:
    backup, restore = PAGE.blocks("sh")
    before = load_settings({"LLMOS_HOME": str(tmp_path / "before")})
    registry = open_registry(before)
    version = Transfers(registry).import_path(write_gguf(tmp_path / "tiny.gguf"), "tiny")
    open_owner_key(before)
    registry.database.close()
    (before.home / "packed").mkdir()
    (before.home / "packed" / "large").write_bytes(bytes(1000))
    run(backup, tmp_path, before.home)
    archive = tmp_path / "llmos-backup.tar.gz"
    assert archive.stat().st_mode & 0o777 == 0o600

    after = load_settings({"LLMOS_HOME": str(tmp_path / "after")})
    run(restore, tmp_path, after.home)
    assert after.home.stat().st_mode & 0o777 == 0o700
    assert not (after.home / "packed").exists()
    assert after.owner_key_path.read_text() == before.owner_key_path.read_text()
    restored = open_registry(after)
    assert restored.resolve("tiny") == version
    assert restored.store.verify([file.digest for file in version.files]) == []


def run(script: str, folder: Path, home: Path) -> None:
    """Run a block of the page, with a program in place of llmos that does nothing."""
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    (programs / "llmos").write_text("#!/bin/sh\n")
    (programs / "llmos").chmod(0o755)
    environ = {"LLMOS_HOME": str(home), "PATH": f"{programs}:/usr/bin:/bin"}
    subprocess.run(["sh", "-euc", script], cwd=folder, env=environ, check=True)


class Backend(BaseHTTPRequestHandler):
    """Streams one event, and the next only when the test has seen the first."""

    protocol_version = "HTTP/1.1"
    goes_on = threading.Event()

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in (1, 2):
            data = f"data: {number} {self.path}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()
            self.goes_on.wait(60)
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def backend() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Backend)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.server_port
    Backend.goes_on.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def proxy(tmp_path: Path, backend: int) -> Iterator[str]:
    """nginx with the page's configuration, on a free port and with a certificate of its own."""
    if shutil.which("nginx") is None or shutil.which("openssl") is None:
        pytest.skip("needs nginx and openssl")
    (config,) = PAGE.blocks("nginx")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    new += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(new, check=True, capture_output=True)
    for before, after in {
        "/etc/ssl/llm.example.org.pem": str(certificate),
        "/etc/ssl/llm.example.org.key": str(key),
        "listen 443 ssl": f"listen unix:{tmp_path}/socket ssl",
        "http://127.0.0.1:8000": f"http://127.0.0.1:{backend}",
    }.items():
        assert before in config
        config = config.replace(before, after)
    paths = "".join(
        f"{kind}_temp_path {tmp_path}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (tmp_path / "nginx.conf").write_text(
        f"daemon off; pid {tmp_path}/pid; error_log stderr; events {{}} http {{ access_log off; {paths} {config} }}"
    )
    process = subprocess.Popen(["nginx", "-c", str(tmp_path / "nginx.conf"), "-p", str(tmp_path)])
    while not (tmp_path / "socket").exists():
        assert process.poll() is None, "nginx refuses the configuration"
    yield str(tmp_path / "socket")
    process.terminate()
    process.wait()


def test_nginx_streams_and_hides_the_control_plane(proxy: str, tmp_path: Path) -> None:
    import httpx

    context = ssl.create_default_context(cafile=str(tmp_path / "certificate.pem"))
    transport = httpx.HTTPTransport(uds=proxy, verify=context)
    with httpx.Client(transport=transport, base_url="https://localhost") as client:
        assert client.get("/llmos/v1/models").status_code == 404
        assert client.get("/metrics").status_code == 404
        with client.stream("GET", "/v1/models") as response:
            chunks = response.iter_text()
            assert next(chunks) == "data: 1 /v1/models\n\n"  # before the second event is sent
            Backend.goes_on.set()
            assert "data: 2" in "".join(chunks)
