"""The usage of projects over HTTP."""

from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.anyio

CHAT: dict[str, Any] = {"model": "dialogue", "messages": [{"role": "user", "content": "Hi"}]}
USAGE = "/llmos/v1/usage"


async def test_a_project_sees_its_own_usage_and_the_owner_all(http: httpx.AsyncClient) -> None:
    await http.post("/llmos/v1/projects", json={"name": "acme"})
    key = (await http.post("/llmos/v1/keys", json={"project": "acme", "role": "viewer"})).json()
    asking = (await http.post("/llmos/v1/keys", json={"project": "acme", "role": "developer"})).json()
    await http.post("/v1/chat/completions", json=CHAT, headers={"authorization": f"Bearer {asking['key']}"})
    await http.post("/v1/chat/completions", json=CHAT)
    everything = (await http.get(USAGE, params={"by": "project"})).json()
    assert {row["value"]: row["output_tokens"] for row in everything["data"]} == {"acme": 3, "owner": 3}
    own = (await http.get(USAGE, params={"by": "project"}, headers={"authorization": f"Bearer {key['key']}"})).json()
    assert [row["value"] for row in own["data"]] == ["acme"]


async def test_usage_comes_as_csv_and_no_name_is_a_formula_in_it(http: httpx.AsyncClient) -> None:
    await http.post("/v1/chat/completions", json=CHAT | {"user": "=1+1"})
    reply = await http.get(USAGE, params={"by": "user", "format": "csv"})
    assert reply.headers["content-type"].startswith("text/csv")
    head, row = reply.text.splitlines()
    assert head.split(",")[:3] == ["user", "num_calls", "input_tokens"]
    assert row.split(",")[:3] == ["'=1+1", "1", "5"]


@pytest.mark.parametrize("query", [{"from": "yesterday"}, {"to": "2026-03-03T12:00:00"}, {"by": "colour"}])
async def test_wrong_parameters_are_named(http: httpx.AsyncClient, query: dict[str, str]) -> None:
    reply = await http.get(USAGE, params=query)
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] in query


async def test_a_time_is_a_date_or_an_instant(http: httpx.AsyncClient) -> None:
    found = (await http.get(USAGE, params={"from": "2026-03-01", "to": "2026-03-02T12:30:00+01:00"})).json()
    assert (found["start"], found["end"]) == ("2026-03-01T00:00:00Z", "2026-03-02T12:00:00Z")
