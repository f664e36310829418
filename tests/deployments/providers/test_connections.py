"""Connections to providers: what is sent over them, where to, and what is said when they fail."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from llmos.core.errors import LLMOSError, ProviderFailed, Unavailable
from llmos.deployments.providers import connections
from llmos.deployments.providers.connections import ProviderConnections, _proxy_of
from llmos.deployments.providers.provider_model import Provider
from llmos.security.tls_certificates import ensure_self_signed

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nContent-Length: 2\r\n\r\nhi"

Answering = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def provider_at(url: str) -> Provider:
    now = datetime(2026, 12, 1, tzinfo=UTC)
    return Provider(name="far", kind="openai", base_url=url, created_at=now, updated_at=now)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[ProviderConnections]:
    opened = ProviderConnections(provider_at(url))
    try:
        yield opened
    finally:
        await opened.close()


class Server:
    """Answers each request with the same bytes, and keeps what it read."""

    def __init__(self, answer: bytes, *, hangs_up: bool = False) -> None:
        self._answer, self._hangs_up = answer, hangs_up
        self.heads: list[str] = []
        self.num_connections = 0
        self.url = ""

    @asynccontextmanager
    async def running(self, tls: ssl.SSLContext | None = None) -> AsyncIterator["Server"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)
        port = server.sockets[0].getsockname()[1]
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{port}"
        yield self
        server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.num_connections += 1
        try:
            while True:
                self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
                writer.write(self._answer)
                if self._hangs_up:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()


async def read(opened: ProviderConnections, path: str = "/models") -> bytes:
    async with opened.request("GET", path, {"Authorization": "Bearer sk-1"}) as response:
        return await response.content.read()


async def test_a_connection_is_used_again_and_no_cookie_comes_back() -> None:
    async with Server(OK).running() as server, connected(server.url) as opened:
        assert [await read(opened) for _ in range(3)] == [b"hi"] * 3
    assert server.num_connections == 1
    assert all("authorization: bearer sk-1" in head.lower() for head in server.heads)
    assert not any("cookie" in head.lower() for head in server.heads)


async def test_a_base_url_is_sent_as_it_was_given() -> None:
    async with Server(OK).running() as server, connected(f"{server.url}/a%2Fb") as opened:
        await read(opened)
    assert server.heads[0].startswith("GET /a%2Fb/models HTTP/1.1")


async def test_requests_beyond_the_limit_wait_and_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 1)
    monkeypatch.setattr(connections, "CONNECT_SECONDS", 0.05)
    async with Server(OK).running() as server, connected(server.url) as opened:
        async with opened.request("GET", "/models", {}):
            with pytest.raises(Unavailable, match="All 1 connections to the provider far are in use"):
                await read(opened)
        assert await read(opened) == b"hi"


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (b"", ProviderFailed, "broke off"),
        (b"not HTTP\r\n\r\n", ProviderFailed, "broke off"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", ProviderFailed, "broke off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", ProviderFailed, "broke off"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nhi", ProviderFailed, "broke off"),
    ],
)
async def test_an_answer_that_ends_early_or_is_none_is_the_providers_failure(
    answer: bytes, kind: type[LLMOSError], said: str
) -> None:
    async with Server(answer, hangs_up=True).running() as server, connected(server.url) as opened:
        with pytest.raises(kind, match=said):
            await read(opened)


async def test_a_silent_provider_is_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SILENCE_SECONDS", 0.05)
    async with Server(b"").running() as server, connected(server.url) as opened:
        with pytest.raises(Unavailable, match="sent nothing for"):
            await read(opened)


async def test_a_host_without_an_address_and_a_closed_port_can_not_be_reached() -> None:
    for url in ("http://127.0.0.1:9", "http://nowhere.invalid"):
        async with connected(url) as opened:
            with pytest.raises(Unavailable, match=f"The provider far can't be reached at {url}"):
                await read(opened)


async def test_a_certificate_that_nobody_trusts_is_refused(tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    ensure_self_signed(certificate, key, "127.0.0.1")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    async with Server(OK).running(tls) as server, connected(server.url) as opened:
        with pytest.raises(Unavailable, match=r"can't be reached.*certificate verify failed"):
            await read(opened)
    assert server.heads == []


async def test_https_goes_through_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """It sees the host, and not the key."""
    async with Server(b"HTTP/1.1 502 No\r\n\r\n", hangs_up=True).running() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        async with connected("https://api.example.com/v1") as opened:
            with pytest.raises(ProviderFailed, match="broke off"):
                await read(opened)
    assert proxy.heads[0].startswith("CONNECT api.example.com:443")
    assert "sk-1" not in "".join(proxy.heads)


async def test_what_is_not_encrypted_goes_through_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    async with Server(OK).running() as server, connected(server.url) as opened:
        assert await read(opened) == b"hi"


@pytest.mark.parametrize(
    ("variables", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://proxy:3128"}, "http://proxy:3128"),
        ({"ALL_PROXY": "proxy:3128"}, "http://proxy:3128"),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "other.org,.example.com"}, None),
        ({"HTTP_PROXY": "http://proxy:3128"}, None),
    ],
)
async def test_the_proxy_is_the_one_that_the_environment_names(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], proxy: str | None
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert _proxy_of("https://api.example.com/v1") == proxy
