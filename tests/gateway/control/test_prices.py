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
