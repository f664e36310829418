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


async def test_projects_see_their_own_budgets_and_change_none_of_the_installation(http: httpx.AsyncClient) -> None:
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


@pytest.fixture
async def acme(http: httpx.AsyncClient) -> dict[str, str]:
    """The headers of an owner of a project."""
    await http.post("/llmos/v1/projects", json={"name": "acme"})
    key = (await http.post("/llmos/v1/keys", json={"project": "acme", "role": "owner"})).json()
    return {"authorization": f"Bearer {key['key']}", "x-key": key["id"]}


async def test_owners_of_a_project_set_budgets_for_its_own_calls(http: httpx.AsyncClient, acme: dict[str, str]) -> None:
    of_key = {"key": acme["x-key"], "unit": "requests", "limit": "1"}
    made = await http.put("/llmos/v1/budgets/trial", json=of_key, headers=acme)
    assert (made.status_code, made.json()["project"], made.json()["managed_by"]) == (200, "acme", "acme"), made.text
    chat = {"model": "dialogue", "messages": [{"role": "user", "content": "Hi"}]}
    replies = [await http.post("/v1/chat/completions", json=chat, headers=acme) for _ in range(2)]
    assert [each.status_code for each in replies] == [200, 429]
    assert (await http.post("/v1/chat/completions", json=chat)).status_code == 200
    assert (await http.put("/llmos/v1/budgets/trial", json=of_key | {"limit": "2"}, headers=acme)).status_code == 200
    assert (await http.delete("/llmos/v1/budgets/trial", headers=acme)).status_code == 204
    assert (await http.put("/llmos/v1/budgets/team", json=TEAM, headers=acme)).status_code == 200


async def test_owners_of_a_project_set_no_budget_for_others(http: httpx.AsyncClient, acme: dict[str, str]) -> None:
    other = (await http.post("/llmos/v1/keys", json={"name": "theirs"})).json()
    limit = {"unit": "requests", "limit": "5"}
    for body, status in (
        (limit, 403),
        (limit | {"each_user": True}, 403),
        (limit | {"project": "owner"}, 403),
        (limit | {"key": other["id"]}, 404),
        (limit | {"key": "key-nothing"}, 404),
    ):
        reply = await http.put("/llmos/v1/budgets/mine", json=body, headers=acme)
        assert reply.status_code == status, reply.text
    await http.put("/llmos/v1/budgets/all", json=limit)
    taken = await http.put("/llmos/v1/budgets/all", json=TEAM, headers=acme)
    assert (taken.status_code, "is taken" in taken.text) == (409, True)
    assert (await http.delete("/llmos/v1/budgets/all", headers=acme)).status_code == 404
    assert [each["name"] for each in (await http.get("/llmos/v1/budgets")).json()["data"]] == ["all"]


async def test_owners_of_a_project_cannot_give_a_user_more_than_the_installation_does(
    http: httpx.AsyncClient, acme: dict[str, str]
) -> None:
    """A budget for one user stands in the place of one for each, but only of the same owners."""
    await http.put("/llmos/v1/budgets/each", json={"each_user": True, "unit": "requests", "limit": "1"})
    ann = {"project": "acme", "user": "ann", "unit": "requests", "limit": "9"}
    chat = {"model": "dialogue", "messages": [{"role": "user", "content": "Hi"}], "user": "ann"}
    assert (await http.put("/llmos/v1/budgets/ann", json=ann, headers=acme)).status_code == 200
    assert [(await http.post("/v1/chat/completions", json=chat, headers=acme)).status_code for _ in range(2)] == [
        200,
        429,
    ]
    assert (await http.delete("/llmos/v1/budgets/ann", headers=acme)).status_code == 204
    assert (await http.put("/llmos/v1/budgets/ann", json=ann)).status_code == 200
    assert (await http.post("/v1/chat/completions", json=chat, headers=acme)).status_code == 200


async def test_the_project_of_a_key_may_be_named_and_no_other(http: httpx.AsyncClient, acme: dict[str, str]) -> None:
    of_key = {"key": acme["x-key"], "unit": "requests", "limit": "1"}
    assert (await http.put("/llmos/v1/budgets/key", json=of_key | {"project": "acme"})).status_code == 200
    wrong = await http.put("/llmos/v1/budgets/key", json=of_key | {"project": "owner"})
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "project")


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
