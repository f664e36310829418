"""The choice of the server that is asked, and of the key that it gets; above all, who never gets the owner's."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from llmos.client import Client
from llmos.client.endpoint import resolve_endpoint
from llmos.core.errors import BadRequest

pytestmark = pytest.mark.usefixtures("no_own_settings")


@pytest.fixture
def owner_key(tmp_path: Path) -> str:
    """The key that the server of this LLMOS_HOME has left for its owner."""
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "owner").write_text("the-owners\n")
    return "the-owners"


def test_this_machine_is_asked_when_nothing_else_is_said() -> None:
    assert resolve_endpoint().url == "http://127.0.0.1:8000"


def test_llmos_endpoint_is_asked_before_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOS_ENDPOINT", "https://models.example/llmos/")
    assert resolve_endpoint().url == "https://models.example/llmos"
    assert resolve_endpoint("http://other.example:1").url == "http://other.example:1"


@pytest.mark.parametrize("endpoint", ["127.0.0.1:8000", "ftp://a", "http://", "http://a:port", " "])
def test_what_is_no_address_is_refused_with_an_example(endpoint: str) -> None:
    with pytest.raises(BadRequest, match="Write it as http://"):
        resolve_endpoint(endpoint)


@pytest.mark.parametrize(
    "endpoint", ["http://127.0.0.1:8000", "http://127.9.9.9", "http://[::1]:8", "http://localhost:8"]
)
def test_a_loopback_endpoint_gets_the_owners_key(endpoint: str, owner_key: str) -> None:
    assert resolve_endpoint(endpoint).api_key == owner_key


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://models.example",
        "http://192.168.0.2:8000",
        "http://0.0.0.0:8000",
        "http://127.0.0.1@models.example",
        "http://127.0.0.1.models.example",
        "http://localhost.models.example",
        "http://models.example/127.0.0.1",
        "http://models.example#@127.0.0.1",
    ],
)
def test_no_other_endpoint_gets_the_owners_key(endpoint: str, owner_key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_endpoint(endpoint).api_key is None
    monkeypatch.setenv("LLMOS_OWNER_KEY", owner_key)
    assert resolve_endpoint(endpoint).api_key is None


def test_the_argument_goes_before_the_environment_and_that_before_the_owners_key(
    owner_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMOS_API_KEY", "from-the-environment")
    assert resolve_endpoint(api_key="given").api_key == "given"
    assert resolve_endpoint().api_key == "from-the-environment"
    assert resolve_endpoint("https://models.example").api_key == "from-the-environment"


def test_a_missing_or_unreadable_key_file_is_no_key(tmp_path: Path) -> None:
    assert resolve_endpoint().api_key is None
    (tmp_path / "keys" / "owner").mkdir(parents=True)
    assert resolve_endpoint().api_key is None


def test_the_key_travels_as_a_bearer_token(connect: Any, server: Any) -> None:
    server.replies(server.json({"data": []}))
    connect(api_key="given").models.list()
    assert server.received[0].headers["authorization"] == "Bearer given"
    assert server.received[0].headers["user-agent"].startswith("llmos-python/")


def test_no_key_sends_no_header(connect: Any, server: Any) -> None:
    server.replies(server.json({"data": []}))
    connect().models.list()
    assert "authorization" not in server.received[0].headers


def test_a_loopback_call_never_goes_through_a_proxy(connect: Any, server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    server.replies(server.json({"data": []}))
    assert connect().models.list() == []


def test_the_key_stays_here_when_the_endpoint_redirects_away() -> None:
    asked: list[httpx.URL] = []

    def redirect(request: httpx.Request) -> httpx.Response:
        asked.append(request.url)
        return httpx.Response(307, headers={"Location": "https://models.example/"})

    with (
        Client(api_key="chosen", transport=httpx.MockTransport(redirect)) as client,
        pytest.raises(BadRequest, match="redirects"),
    ):
        client.models.list()
    assert [url.host for url in asked] == ["127.0.0.1"]
