"""The address that a request comes from, behind a proxy and not."""

import dataclasses
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from starlette.datastructures import Headers

from llmos.core.config import load_settings, parse_networks
from llmos.core.errors import BadRequest
from llmos.gateway.app import create_app
from llmos.gateway.http.trusted_proxies import TrustedProxies
from llmos.gateway.services import Services
from llmos.security.keys import NewKey
from llmos.security.wrong_keys import BURST

pytestmark = pytest.mark.anyio


def resolve(peer: str, headers: dict[str, str], *networks: str) -> tuple[str, str]:
    scope = {"type": "http", "client": (peer, 1234), "scheme": "http", "headers": []}
    resolved = TrustedProxies(parse_networks(" ".join(networks), "the test")).resolve(scope, Headers(headers))
    return resolved["client"][0], resolved["scheme"]


@pytest.mark.parametrize(
    ("headers", "client"),
    [
        ({}, "10.0.0.1"),
        ({"x-forwarded-for": "203.0.113.5"}, "203.0.113.5"),
        ({"x-forwarded-for": "203.0.113.5:4711"}, "203.0.113.5"),
        ({"x-forwarded-for": "1.2.3.4, 203.0.113.5"}, "203.0.113.5"),
        ({"x-forwarded-for": "203.0.113.5, 10.0.0.2"}, "203.0.113.5"),
        ({"x-forwarded-for": "1.2.3.4, unknown"}, "10.0.0.1"),
        ({"x-forwarded-for": "1.2.3.4, rubbish, 10.0.0.2"}, "10.0.0.2"),
        ({"x-forwarded-for": "10.0.0.9, 10.0.0.2"}, "10.0.0.9"),
        ({"x-forwarded-for": "::ffff:203.0.113.5"}, "203.0.113.5"),
        ({"forwarded": "for=203.0.113.5"}, "203.0.113.5"),
        ({"forwarded": 'for=1.2.3.4, For="[2001:db8::5]:80";proto=https'}, "2001:db8::5"),
        ({"forwarded": "for=_hidden"}, "10.0.0.1"),
        ({"forwarded": "for=203.0.113.5", "x-forwarded-for": "203.0.113.5"}, "203.0.113.5"),
    ],
    ids=repr,
)
def test_the_last_address_that_is_no_trusted_proxy_is_the_clients(headers: dict[str, str], client: str) -> None:
    assert resolve("10.0.0.1", headers, "10.0.0.0/8")[0] == client


def test_nobody_else_may_say_where_a_request_comes_from() -> None:
    headers = {"x-forwarded-for": "203.0.113.5", "forwarded": "for=203.0.113.5", "x-forwarded-proto": "https"}
    assert resolve("192.0.2.1", headers, "10.0.0.0/8") == ("192.0.2.1", "http")
    assert resolve("10.0.0.1", headers) == ("10.0.0.1", "http")


def test_the_scheme_is_that_of_the_proxy() -> None:
    assert resolve("10.0.0.1", {"x-forwarded-proto": "https"}, "10.0.0.1")[1] == "https"
    assert resolve("10.0.0.1", {"forwarded": "for=203.0.113.5;proto=https"}, "10.0.0.1")[1] == "https"
    assert resolve("10.0.0.1", {"x-forwarded-proto": "gopher"}, "10.0.0.1")[1] == "http"


def test_headers_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(BadRequest, match="different clients"):
        resolve("10.0.0.1", {"x-forwarded-for": "203.0.113.5", "forwarded": "for=203.0.113.6"}, "10.0.0.1")


def test_settings_that_are_no_networks_are_refused() -> None:
    settings = load_settings({"LLMOS_TRUSTED_PROXIES": "127.0.0.1, 10.0.0.0/8"})
    assert [str(each) for each in settings.trusted_proxies] == ["127.0.0.1/32", "10.0.0.0/8"]
    with pytest.raises(BadRequest, match="--trusted-proxy is wrong"):
        parse_networks("proxy", "--trusted-proxy")


@pytest.fixture
async def behind_a_proxy(services: Services) -> AsyncIterator[Callable[..., Any]]:
    """Ask through a proxy on this machine, as a client with this address and this key."""
    settings = dataclasses.replace(services.settings, trusted_proxies=parse_networks("127.0.0.1", "the test"))
    app = create_app(dataclasses.replace(services, settings=settings))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://llmos") as client:

        async def ask(address: str, key: str) -> httpx.Response:
            return await client.get("/v1/models", headers={"x-forwarded-for": address, "x-api-key": key})

        yield ask


async def test_a_key_with_addresses_works_from_the_client_behind_the_proxy(
    behind_a_proxy: Callable[..., Any], services: Services
) -> None:
    _, token = services.keys.create(NewKey(addresses=["203.0.113.0/24"]))
    assert (await behind_a_proxy("203.0.113.5", token)).status_code == 200
    assert (await behind_a_proxy("198.51.100.1", token)).status_code == 403


async def test_who_tries_keys_is_told_to_wait_and_nobody_else(
    behind_a_proxy: Callable[..., Any], services: Services
) -> None:
    _, token = services.keys.create(NewKey())
    _, later = services.keys.create(NewKey())
    assert (await behind_a_proxy("203.0.113.5", token)).status_code == 200
    for number in range(BURST):
        assert (await behind_a_proxy("203.0.113.5", f"wrong-{number}")).status_code == 401
    refused = await behind_a_proxy("203.0.113.5", "wrong")
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert int(refused.headers["retry-after"]) > 0
    assert (await behind_a_proxy("203.0.113.5", later)).status_code == 429
    assert (await behind_a_proxy("203.0.113.5", token)).status_code == 200
    assert (await behind_a_proxy("203.0.113.6", later)).status_code == 200
