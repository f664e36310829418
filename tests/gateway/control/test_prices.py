"""The prices over HTTP."""

import httpx
import pytest

pytestmark = pytest.mark.anyio

BOOK = {"currency": "EUR", "prices": {"default": {"per_million_tokens": {"input": "1", "output": "2"}}}}


async def test_prices_are_set_tried_and_charged(http: httpx.AsyncClient) -> None:
    made = await http.post("/llmos/v1/prices", json=BOOK)
    assert made.json()["version"] == 1, made.text
    assert (await http.get("/llmos/v1/prices")).json()["data"] == [made.json()]
    assert (await http.get("/llmos/v1/prices/1")).json() == made.json()
    tried = (await http.post("/llmos/v1/prices/try", json={"version": "smollm2@1", "input": 5, "output": 3})).json()
    assert (tried["cost"], tried["currency"], tried["applied"]) == ("0.000011", "EUR", "default")
    await http.post("/v1/chat/completions", json={"model": "dialogue", "messages": [{"role": "user", "content": "Hi"}]})
    (row,) = (await http.get("/llmos/v1/usage")).json()["data"]
    assert row["costs"] == {"EUR": "0.000011"}


async def test_only_the_owner_sets_prices(http: httpx.AsyncClient) -> None:
    await http.post("/llmos/v1/projects", json={"name": "acme"})
    key = (await http.post("/llmos/v1/keys", json={"project": "acme", "role": "owner"})).json()
    headers = {"authorization": f"Bearer {key['key']}"}
    assert (await http.post("/llmos/v1/prices", json=BOOK, headers=headers)).status_code == 403
    assert (await http.get("/llmos/v1/prices", headers=headers)).status_code == 200


async def test_a_project_tries_the_prices_of_its_own_plan(http: httpx.AsyncClient) -> None:
    await http.post("/llmos/v1/projects", json={"name": "acme"})
    key = (await http.post("/llmos/v1/keys", json={"project": "acme", "role": "owner"})).json()
    headers = {"authorization": f"Bearer {key['key']}"}
    await http.post("/llmos/v1/prices", json=BOOK)
    plan = {"name": "team", "kind": "pay_as_you_go", "currency": "EUR", "prices": {"default": {"per_call": "7"}}}
    await http.post("/llmos/v1/plans", json=plan)
    await http.post("/llmos/v1/plans", json={**plan, "name": "other"})
    await http.post("/llmos/v1/plans/team/assign", json={"project": "acme"})

    async def tried(headers: dict[str, str], **facts: str) -> tuple[int, str]:
        reply = await http.post("/llmos/v1/prices/try", json={"version": "smollm2@1", **facts}, headers=headers)
        return reply.status_code, reply.json().get("cost", "")

    assert [await tried({}), await tried({}, project="acme")] == [(200, "0"), (200, "7")]
    assert [await tried({}, plan="other"), await tried({}, project="nothing")] == [(200, "7"), (404, "")]
    assert [await tried(headers), await tried(headers, plan="team")] == [(200, "7"), (200, "7")]
    assert [await tried(headers, project="owner"), await tried(headers, plan="other")] == [(403, ""), (404, "")]
