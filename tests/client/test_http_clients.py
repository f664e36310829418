"""The HTTP clients: requests are those of httpx, and cookies are kept."""

import httpx
import pytest

from llmos.client.flows import Send
from llmos.client.http_clients import AsyncHttpClient, HttpClient

SENT = [
    Send("POST", "/llmos/v1/runs/run-1/journal", b"{}", False),
    Send("GET", "/llmos/v1/runs?app=a%20b&limit=1", None, False),
    Send("GET", "/v1/models/größe", None, True),
    Send("PUT", "/llmos/v1/uploads/u", b"x", False, {"Content-Type": "application/octet-stream", "user-agent": "mine"}),
    Send("POST", "/llmos/v1/runs/run-1/cancel", None, False),
]


@pytest.mark.parametrize("kind", [HttpClient, AsyncHttpClient])
@pytest.mark.parametrize("base", ["http://127.0.0.1:9", "https://example.org/below/"])
@pytest.mark.parametrize("step", SENT)
def test_requests_are_those_of_httpx(kind: type[HttpClient] | type[AsyncHttpClient], base: str, step: Send) -> None:
    http = kind(base_url=base, headers={"User-Agent": "llmos", "Authorization": "Bearer k"}, timeout=httpx.Timeout(9))
    for _ in range(2):
        built = http.requests.build(step)
        expected = http.build_request(step.method, step.path, content=step.body, headers=step.headers)
        assert (built.method, built.url, built.content) == (expected.method, expected.url, expected.content)
        assert built.headers == expected.headers
        assert built.extensions == expected.extensions


def test_cookies_come_back() -> None:
    """Such as those of a load balancer that wants to keep a client at one server."""
    asked: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers.get("cookie"))
        return httpx.Response(200, headers={"Set-Cookie": "server=2"} if len(asked) == 2 else {})

    http = HttpClient(base_url="http://example.org", transport=httpx.MockTransport(answer))
    for _ in range(3):
        http.send(http.requests.build(SENT[0]))
    assert asked == [None, None, "server=2"]
