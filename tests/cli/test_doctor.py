"""llmos doctor: each line is ok or says what to do."""

import errno
import json
import socket
import stat
from pathlib import Path

import pytest

from llmos.applications.code.sandbox import NoSandbox, running
from llmos.core.hardware import Hardware
from llmos.gateway.doctor import machine as checks


@pytest.fixture
def free_port(monkeypatch, cli):
    """A port on which nobody listens, as the endpoint's."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("LLMOS_ENDPOINT", f"http://127.0.0.1:{port}")
    return port


@pytest.fixture
def machine(monkeypatch):
    """A machine that has everything; a test takes something away."""
    monkeypatch.setattr(running, "check_sandbox", lambda: None)

    def machine(**changes):
        facts = {
            "cpu": "A CPU",
            "features": frozenset({"avx2", "fma", "f16c"}),
            "num_cores": 4,
            "memory_bytes": 16 * 10**9,
            "available_bytes": 8 * 10**9,
        }
        monkeypatch.setattr(checks, "inspect_hardware", lambda: Hardware(**facts | changes))

    machine()
    return machine


@pytest.fixture
def examine(cli, machine, free_port):
    """Run the doctor and return its findings by check; a check with several findings keeps the last that isn't ok."""

    def examine(status=0):
        outcome = cli("doctor", "--json")
        findings = json.loads(outcome.out)
        assert outcome.status == status, findings
        return {finding["check"]: finding for finding in sorted(findings, key=lambda finding: not finding["ok"])}

    return examine


@pytest.fixture
def model(cli, smollm2_path, home):
    """A model in the store, whose blob may be harmed."""
    import shutil

    file = home / "smollm2.gguf"
    shutil.copyfile(smollm2_path, file)
    cli("import", str(file), "--name", "mine")
    return next((home / "store" / "blobs" / "sha256").iterdir())


def test_a_healthy_machine_is_ok_in_every_line(examine, cli):
    findings = examine()
    assert set(findings) >= {"python", "cpu", "memory", "engine", "port", "home", "database", "store"}
    assert all(finding["ok"] for finding in findings.values())
    lines = cli("doctor").out.splitlines()
    assert all(line.startswith("ok ") for line in lines)


def test_a_slow_cpu_works_and_is_told_so(examine, machine):
    machine(features=frozenset())
    finding = examine()["cpu"]
    assert finding["found"].endswith("kernels: portable")
    assert "slowly" in finding["advice"]


def test_kernels_that_the_cpu_lacks_are_an_error(examine, machine, monkeypatch):
    monkeypatch.setenv("LLMOS_ISA", "avx512")
    assert "Unset it" in examine(status=1)["cpu"]["advice"]


def test_too_little_memory_is_told(examine, machine):
    machine(available_bytes=10**8)
    finding = examine(status=1)["memory"]
    assert finding["found"] == "100.0 MB free of 16.0 GB"
    assert finding["advice"]


def test_an_engine_that_was_never_built_says_how(examine, monkeypatch):
    def refuse(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(checks, "import_module", refuse)
    monkeypatch.setattr(checks.shutil, "which", lambda name: None)
    findings = examine(status=1)
    assert "make setup" in findings["engine"]["advice"]
    assert "apt-get install g++" in findings["compiler"]["advice"]


def test_a_machine_without_a_sandbox_for_code_is_told_what_to_install(examine, monkeypatch):
    def refuse():
        raise NoSandbox("This machine has no sandbox. Install bubblewrap.")

    monkeypatch.setattr(running, "check_sandbox", refuse)
    finding = examine()["sandbox"]
    assert finding["ok"]
    assert finding["advice"] == "This machine has no sandbox. Install bubblewrap."


def test_a_port_that_another_program_holds_is_told(examine, monkeypatch, server_of):
    url = server_of(404)
    monkeypatch.setenv("LLMOS_ENDPOINT", url)
    finding = examine(status=1)["port"]
    assert "used by another program" in finding["found"]
    assert "--port" in finding["advice"]


def test_a_port_that_llmos_holds_is_fine(examine, monkeypatch, server_of):
    url = server_of(200)
    monkeypatch.setenv("LLMOS_ENDPOINT", url)
    assert examine()["port"]["found"] == f"an LLMOS server answers at {url}"


@pytest.mark.parametrize("name", [".", "llmos.db", "llmos.db-wal", "llmos.db-shm", "keys", "keys/owner", "keys/master"])
def test_what_others_could_read_is_told_and_mended(examine, cli, home, name):
    cli("list")
    (home / "keys").mkdir(mode=0o700, exist_ok=True)
    path = home / name
    if not path.exists():
        path.write_bytes(b"")
    private = stat.S_IMODE(path.stat().st_mode) & ~0o077
    path.chmod(private | 0o044)
    finding = examine(status=1)["private"]
    assert str(path) in finding["found"]
    assert path.exists() is False or stat.S_IMODE(path.stat().st_mode) == private
    assert examine()["private"]["ok"]


def test_what_cannot_be_mended_names_the_command(examine, home, monkeypatch):
    home.chmod(0o755)
    monkeypatch.setattr(Path, "chmod", refuse_to_chmod)
    assert examine(status=1)["private"]["advice"] == f"chmod go-rwx {home}"


def refuse_to_chmod(path, mode):
    raise PermissionError(errno.EPERM, "Operation not permitted", str(path))


def test_a_home_that_cannot_even_be_looked_for_is_told(examine, home, monkeypatch):
    monkeypatch.setenv("LLMOS_HOME", str(home / ("x" * 300)))
    findings = examine(status=1)
    assert "File name too long" in findings["home"]["found"]


def test_a_home_that_cannot_be_made_is_told(examine, home, monkeypatch):
    (home / "file").write_text("")
    monkeypatch.setenv("LLMOS_HOME", str(home / "file"))
    findings = examine(status=1)
    assert not findings["home"]["ok"]
    assert not findings["database"]["ok"]


def test_a_model_whose_bytes_changed_is_named_with_the_way_out(examine, model, cli):
    model.chmod(0o600)
    with model.open("r+b") as file:
        file.seek(1000)
        file.write(b"rotten")
    finding = examine(status=1)["store"]
    assert "of mine@1 holds other bytes" in finding["found"]
    assert finding["advice"].startswith("llmos doctor --store --set-aside, then: llmos import ")


def test_a_model_whose_bytes_are_gone_is_named(examine, model):
    model.unlink()
    assert "of mine@1 is missing" in examine(status=1)["store"]["found"]


def test_an_unfinished_download_is_told_and_no_error(cli, examine, home):
    examine()
    part = home / "store" / "incoming" / ("ab" * 32 + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(b"half")
    lines = [line for line in cli("doctor").out.splitlines() if "incomplete download" in line]
    assert len(lines) == 1
    assert lines[0].startswith("ok ")
    assert str(part) in lines[0]


@pytest.fixture
def server_of():
    """Return a function that starts a server which answers everything with one status."""
    import threading
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    servers = []

    def server_of(status):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield server_of
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def test_packed_weights_are_read_and_a_changed_bit_is_named(examine, cli, model, home):
    from llmos.engine.config import EngineConfig
    from llmos.engine.loading import load_engine

    load_engine({"model.gguf": model}, EngineConfig(packed_folder=str(home / "packed")))
    (packed,) = (home / "packed").iterdir()
    assert examine()["packed"]["found"] == "1 file of packed weights, 96.4 MB, all digests match"
    with packed.open("r+b") as file:
        file.seek(5000)
        (byte,) = file.read(1)
        file.seek(5000)
        file.write(bytes([byte ^ 1]))
    finding = examine(status=1)["packed"]
    assert "its payload was changed" in finding["found"]
    assert finding["advice"].startswith(f"rm {packed}")
    assert cli("rm", "mine").status == 0
    assert list((home / "packed").iterdir()) == [], "they go with their version"


def test_a_certificate_that_expires_soon_or_does_not_fit_is_reported(examine, home, monkeypatch, tmp_path):
    from llmos.core.clock import utc_now
    from llmos.security.tls_certificates import RENEW_BEFORE, VALID_FOR, ensure_self_signed
    from support.certificates import write_certificate

    assert "tls" not in examine()
    pair = home / "keys" / "tls.pem", home / "keys" / "tls.key"
    ensure_self_signed(*pair, "localhost")
    assert examine()["tls"]["ok"]
    pair[0].unlink()
    long_ago = utc_now() - VALID_FOR + RENEW_BEFORE / 2
    ensure_self_signed(*pair, "localhost", clock=lambda: long_ago)
    finding = examine(1)["tls"]
    assert "valid until" in finding["found"]
    assert "SIGHUP" in finding["advice"]
    ensure_self_signed(*pair, "localhost")
    monkeypatch.setenv("LLMOS_TLS_CERT", str(write_certificate(tmp_path / "other.pem")))
    assert "only one of" in examine(1)["tls"]["found"]
    monkeypatch.setenv("LLMOS_TLS_KEY", str(pair[1]))
    assert "doesn't belong" in examine(1)["tls"]["found"]


def test_a_certificates_key_that_others_can_read_is_reported(examine, monkeypatch, tmp_path):
    from llmos.security.tls_certificates import ensure_self_signed

    pair = tmp_path / "own.pem", tmp_path / "own.key"
    ensure_self_signed(*pair, "localhost")
    pair[1].chmod(0o644)
    monkeypatch.setenv("LLMOS_TLS_CERT", str(pair[0]))
    monkeypatch.setenv("LLMOS_TLS_KEY", str(pair[1]))
    finding = examine(1)["tls"]
    assert "can be read by other users" in finding["found"]
    assert finding["advice"] == f"chmod 600 {pair[1]}"


def test_a_pepper_that_others_could_read_is_reported(examine, home):
    pepper = home / "keys" / "pepper"
    pepper.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    pepper.write_text("secret")
    pepper.chmod(0o640)
    assert f"{pepper} could be read by other users" in examine(1)["private"]["found"]
