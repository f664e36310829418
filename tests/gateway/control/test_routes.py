"""Routes are set, used and removed over HTTP."""

from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.anyio


async def test_a_route_is_set_used_and_removed(http: httpx.AsyncClient) -> None:
    chat = {"model": "gpt-3", "messages": [{"role": "user", "content": "Hello"}]}
    assert (await http.post("/v1/chat/completions", json=chat)).status_code == 404
    put = await http.put("/llmos/v1/routes/gpt-3", json={"target": "smollm2"})
    assert (put.status_code, put.json()["name"], put.json()["target"]) == (200, "gpt-3", "smollm2")
    assert (await http.get("/llmos/v1/routes/gpt-3")).json() == put.json()
    assert put.json() in (await http.get("/llmos/v1/routes")).json()["data"]
    answer = (await http.post("/v1/chat/completions", json=chat)).json()
    assert answer["model"] == "smollm2@1"
    assert (await http.delete("/llmos/v1/routes/gpt-3")).status_code == 204
    assert (await http.delete("/llmos/v1/routes/gpt-3")).status_code == 404
    assert (await http.get("/llmos/v1/routes/gpt-3")).status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({}, 400, "target"),
        ({"target": 5}, 400, "target"),
        ({"taget": "x"}, 400, "taget"),
        ({"target": "nobody"}, 404, "model"),
    ],
)
async def test_an_invalid_route_is_rejected(
    http: httpx.AsyncClient, body: dict[str, Any], status: int, param: str
) -> None:
    reply = await http.put("/llmos/v1/routes/gpt-3", json=body)
    assert (reply.status_code, reply.json()["error"]["param"]) == (status, param)
