"""HTTPS: with a certificate of one's own and with one that LLMOS makes; no plain HTTP for other machines unasked."""

import asyncio
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from llmos.client import AsyncClient, Client
from llmos.core.config import Settings, load_settings
from llmos.core.errors import BadRequest, ConnectionFailed
from llmos.gateway.http_server import HttpServer
from llmos.gateway.listening import check_exposure, listen
from llmos.gateway.serving import run
from llmos.gateway.tls import Tls, open_tls
from llmos.security.tls_certificates import ensure_self_signed
from support.certificates import write_certificate
from support.http_peer import echo
from support.real_server import KEY, lines_until, start


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"LLMOS_HOME": str(tmp_path / "home")})


@pytest.fixture
def own_files(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for this machine that LLMOS doesn't know to be its own."""
    pair = tmp_path / "own.pem", tmp_path / "own.key"
    ensure_self_signed(*pair, "127.0.0.1")
    return pair


@pytest.fixture
def serve_tls() -> Iterator[Callable[[Tls], str]]:
    """Serve with this certificate; gives the address."""
    running: list[tuple[HttpServer, threading.Thread]] = []

    def serve(tls: Tls) -> str:
        listener = listen("127.0.0.1", 0)
        server = HttpServer(echo, tls)
        thread = threading.Thread(target=asyncio.run, args=[server.serve(sockets=[listener])])
        thread.start()
        running.append((server, thread))
        return f"https://127.0.0.1:{listener.getsockname()[1]}"

    yield serve
    for server, thread in running:
        server.stop()
        thread.join()


def opened(settings: Settings, host: str = "127.0.0.1") -> Tls:
    tls = open_tls(settings, host)
    assert tls is not None
    return tls


def shown_to(url: str) -> bytes:
    """Return the certificate that a new connection gets."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    port = httpx.URL(url).port
    with socket.create_connection(("127.0.0.1", port), 30) as plain, context.wrap_socket(plain) as secure:
        certificate = secure.getpeercert(binary_form=True)
        assert certificate is not None
        return certificate


def test_a_server_with_files_speaks_tls_and_nothing_else(
    settings: Settings, own_files: tuple[Path, Path], serve_tls: Callable[[Tls], str]
) -> None:
    url = serve_tls(opened(replace(settings, tls_cert=own_files[0], tls_key=own_files[1])))
    reply = httpx.get(f"{url}/a", verify=ssl.create_default_context(cafile=own_files[0]))
    assert reply.json()["path"] == "/a"
    assert reply.headers["strict-transport-security"] == "max-age=31536000"
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(url.replace("https", "http"))


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_versions_before_tls_1_2_are_refused(
    settings: Settings, own_files: tuple[Path, Path], serve_tls: Callable[[Tls], str]
) -> None:
    url = serve_tls(opened(replace(settings, tls_cert=own_files[0], tls_key=own_files[1])))
    for version, is_accepted in (
        (ssl.TLSVersion.TLSv1_1, False),
        (ssl.TLSVersion.TLSv1_2, True),
        (ssl.TLSVersion.TLSv1_3, True),
    ):
        context = ssl.create_default_context(cafile=own_files[0])
        context.minimum_version = context.maximum_version = version
        context.set_ciphers("DEFAULT@SECLEVEL=0")
        if is_accepted:
            assert httpx.get(url, verify=context).status_code == 200
        else:
            with pytest.raises(httpx.ConnectError):
                httpx.get(url, verify=context)


def test_a_reload_shows_the_new_certificate_and_keeps_the_old_one_if_it_is_wrong(
    settings: Settings, own_files: tuple[Path, Path], serve_tls: Callable[[Tls], str]
) -> None:
    tls = opened(replace(settings, tls_cert=own_files[0], tls_key=own_files[1]))
    url = serve_tls(tls)
    first = shown_to(url)
    write_certificate(own_files[0])
    with pytest.raises(BadRequest, match="doesn't belong"):
        tls.reload()
    assert shown_to(url) == first
    ensure_self_signed(*own_files, "192.0.2.7")
    tls.reload()
    assert shown_to(url) != first


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"tls_cert": Path("a.pem")}, "--tls-cert needs --tls-key"),
        ({"tls_key": Path("a.key")}, "--tls-key needs --tls-cert"),
        ({"tls_cert": Path("a.pem"), "tls_self_signed": True}, "exclude each other"),
        ({"tls_cert": Path("/no/a.pem"), "tls_key": Path("/no/a.key")}, "can't be read"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_settings_that_make_no_sense_are_refused(settings: Settings, changes: dict[str, Path], word: str) -> None:
    with pytest.raises(BadRequest, match=word):
        open_tls(replace(settings, **changes), "127.0.0.1")  # type: ignore[arg-type]


def test_clients_of_the_home_trust_its_own_certificate_and_others_need_it_named(
    settings: Settings, serve_tls: Callable[[Tls], str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tls = opened(replace(settings, tls_self_signed=True))
    url = serve_tls(tls)

    def ask(ca: Path | None = None) -> None:
        with Client(url, api_key=KEY, ca=ca, max_retries=0) as client:
            assert client._http.get("/a").json()["path"] == "/a"

    async def ask_async() -> None:
        async with AsyncClient(url, api_key=KEY, ca=tls.certificate_path, max_retries=0) as client:
            assert (await client._http.get("/a")).headers.get("strict-transport-security") is None

    monkeypatch.setenv("LLMOS_HOME", str(settings.home))
    ask()
    monkeypatch.setenv("LLMOS_HOME", str(tmp_path / "another"))
    with Client(url, api_key=KEY, max_retries=0) as stranger, pytest.raises(ConnectionFailed, match="LLMOS_CA"):
        stranger.models.list()
    ask(tls.certificate_path)
    asyncio.run(ask_async())
    monkeypatch.setenv("LLMOS_CA", str(tls.certificate_path))
    ask()
    with pytest.raises(BadRequest, match="can't be used: No such file"):
        ask(tmp_path / "missing.pem")
    (tmp_path / "text.pem").write_text("text")
    with pytest.raises(BadRequest, match="no certificate in PEM form"):
        ask(tmp_path / "text.pem")


def test_a_client_that_takes_the_wrong_scheme_is_told_so(
    settings: Settings, serve_tls: Callable[[Tls], str], served: str
) -> None:
    url = serve_tls(opened(replace(settings, tls_self_signed=True)))
    for wrong, advice in (
        (url.replace("https", "http"), "write https://"),
        (served.replace("http", "https"), "write http://"),
    ):
        with Client(wrong, api_key=KEY, max_retries=0) as client, pytest.raises(ConnectionFailed, match=advice):
            client.models.list()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_other_machines_reach_a_server_without_tls_only_if_the_owner_says_so(host: str, settings: Settings) -> None:
    with pytest.raises(BadRequest, match="--allow-insecure-network"):
        check_exposure(host, has_tls=False, is_allowed=False)
    with pytest.raises(BadRequest, match="--tls-self-signed"):
        run(settings, host=host, port=0)
    warning = check_exposure(host, has_tls=False, is_allowed=True)
    assert warning is not None
    assert warning.startswith("WARNING")
    assert check_exposure(host, has_tls=True, is_allowed=False) is None


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.1.2.3"])
def test_a_server_for_this_machine_needs_no_tls(host: str) -> None:
    assert check_exposure(host, has_tls=False, is_allowed=False) is None


def test_the_environment_says_the_same() -> None:
    settings = load_settings({"LLMOS_TLS_SELF_SIGNED": "on", "LLMOS_PORT": "8443"})
    assert (settings.tls_self_signed, settings.endpoint) == (True, "https://127.0.0.1:8443")
    settings = load_settings({"LLMOS_TLS_CERT": "/a.pem", "LLMOS_TLS_KEY": "/a.key"})
    assert (settings.tls_cert, settings.tls_key) == (Path("/a.pem"), Path("/a.key"))
    assert load_settings({"LLMOS_ALLOW_INSECURE_NETWORK": "on"}).allow_insecure_network


@pytest.mark.process
def test_a_server_with_its_own_certificate_answers_the_cli_and_reloads_it(home: Path) -> None:
    """Everything at once: the process, its first lines, the CLI of the home, SIGHUP and a loud warning."""
    network = ("--host", "0.0.0.0", "--port", "0")
    process = start(home, *network, "--tls-self-signed")
    try:
        said = lines_until(process, "Ready")
        found = re.search(r"https://127\.0\.0\.1:\d+", said)
        assert found, said
        assert "WARNING" not in said
        certificate = home / "keys" / "tls.pem"
        fingerprint = re.search(r"SHA-256 (\S+)", said)
        assert fingerprint, said
        url = found[0]
        command = [sys.executable, "-m", "llmos", "ps", "--json"]
        environ = {"LLMOS_HOME": str(home), "LLMOS_ENDPOINT": url, "PATH": "/usr/bin:/bin"}
        outcome = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        assert outcome.returncode == 0, outcome.stderr
        assert "smollm2@1" in outcome.stdout
        before = certificate.read_bytes()
        certificate.unlink()
        process.send_signal(signal.SIGHUP)
        lines_until(process, "Reloaded the certificate")
        assert certificate.read_bytes() != before
        assert ssl.DER_cert_to_PEM_cert(shown_to(url)).strip() == certificate.read_text().strip()
    finally:
        process.terminate()
        process.communicate(timeout=60)
        for name in ("tls.pem", "tls.key"):
            (home / "keys" / name).unlink(missing_ok=True)


@pytest.mark.process
def test_a_server_without_tls_warns_loudly(home: Path) -> None:
    process = start(home, "--host", "0.0.0.0", "--port", "0", "--allow-insecure-network")
    try:
        assert "WARNING: the server listens on 0.0.0.0 without TLS" in lines_until(process, "Ready")
    finally:
        process.terminate()
        process.communicate(timeout=60)
