"""Budgets over HTTP."""

import httpx
import pytest

pytestmark = pytest.mark.anyio

TEAM = {"project": "acme", "unit": "tokens", "limit": "1000", "per": "day"}


async def test_budgets_are_set_described_and_removed(http: httpx.AsyncClient) -> None:
    made = await http.put("/llmos/v1/budgets/all", json={"unit": "requests", "limit": "5", "per": "total"})
    assert made.status_code == 200, made.text
    assert (made.json()["scope"], made.json()["left"], made.json()["resets_at"]) == ("installation", "5", None)
    assert (await http.get("/llmos/v1/budgets/all")).json() == made.json()
    assert (await http.get("/llmos/v1/budgets")).json()["data"] == [made.json()]
    assert (await http.delete("/llmos/v1/budgets/all")).status_code == 204
    assert (await http.get("/llmos/v1/budgets/all")).status_code == 404


async def test_projects_see_their_own_budgets_and_set_none(http: httpx.AsyncClient) -> None:
    await http.post("/llmos/v1/projects", json={"name": "acme"})
    key = (await http.post("/llmos/v1/keys", json={"project": "acme", "role": "owner"})).json()
    headers = {"authorization": f"Bearer {key['key']}"}
    await http.put("/llmos/v1/budgets/team", json=TEAM)
    await http.put("/llmos/v1/budgets/key", json={"key": key["id"], "unit": "requests", "limit": "9"})
    await http.put("/llmos/v1/budgets/all", json={"unit": "requests", "limit": "5"})
    found = (await http.get("/llmos/v1/budgets", headers=headers)).json()["data"]
    assert [(each["name"], each["project"]) for each in found] == [("key", "acme"), ("team", "acme")]
    assert (await http.get("/llmos/v1/budgets/all", headers=headers)).status_code == 404
    assert (await http.put("/llmos/v1/budgets/team", json=TEAM, headers=headers)).status_code == 403
    assert (await http.delete("/llmos/v1/budgets/team", headers=headers)).status_code == 403


async def test_a_removed_project_has_no_budgets(http: httpx.AsyncClient) -> None:
    await http.post("/llmos/v1/projects", json={"name": "acme"})
    await http.put("/llmos/v1/budgets/team", json=TEAM)
    await http.put("/llmos/v1/budgets/all", json={"unit": "requests", "limit": "5"})
    assert (await http.delete("/llmos/v1/projects/acme")).status_code == 204
    assert [each["name"] for each in (await http.get("/llmos/v1/budgets")).json()["data"]] == ["all"]


async def test_the_use_of_one_user_is_found(http: httpx.AsyncClient) -> None:
    await http.put("/llmos/v1/budgets/users", json={"each_user": True, "unit": "requests", "limit": "5", "per": "day"})
    chat = {"model": "dialogue", "messages": [{"role": "user", "content": "Hi"}], "user": "ann"}
    for _ in range(2):
        await http.post("/v1/chat/completions", json=chat)
    (ann,) = (await http.get("/llmos/v1/budgets/users?user=ann")).json()["users"]
    assert (ann["project"], ann["spent"], ann["left"]) == ("owner", "2", "3")
    assert (await http.get("/llmos/v1/budgets/users?user=bob")).json()["users"] == []
    for body in ({"unit": "hours", "limit": "5"}, {"unit": "tokens", "limit": "5", "nothing": 1}):
        assert (await http.put("/llmos/v1/budgets/wrong", json=body)).status_code == 400


async def test_a_key_and_a_project_must_exist(http: httpx.AsyncClient) -> None:
    for field in ("key", "project"):
        reply = await http.put("/llmos/v1/budgets/x", json={field: "nothing", "unit": "tokens", "limit": "5"})
        assert reply.status_code == 404
        assert "nothing" in reply.json()["error"]["message"]


async def test_a_budget_in_a_currency_without_prices_warns(http: httpx.AsyncClient) -> None:
    money = {"unit": "money", "limit": "5", "currency": "USD"}
    made = (await http.put("/llmos/v1/budgets/all", json=money)).json()
    assert "There is no price in USD" in made["warning"]
    assert "There are no prices." in made["warning"]
    book = {"currency": "EUR", "prices": {"default": {"per_call": "1"}}}
    assert (await http.post("/llmos/v1/prices", json=book)).status_code == 200
    assert "There are prices in EUR." in (await http.get("/llmos/v1/budgets/all")).json()["warning"]
    changed = await http.put("/llmos/v1/budgets/all", json=money | {"currency": "EUR"})
    assert changed.json()["warning"] == ""
    assert (await http.put("/llmos/v1/budgets/few", json={"unit": "tokens", "limit": "5"})).json()["warning"] == ""
