"""/llmos/v1/users: managed by those who may, and by nobody else."""

from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.anyio

PASSWORD = "correct horse battery staple"


async def create(http: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    return await http.post("/llmos/v1/users", json=fields)


async def test_a_user_from_creation_to_removal(http: httpx.AsyncClient) -> None:
    created = (await create(http, name="ann", role="operator", password=PASSWORD)).json()
    assert (created["name"], created["role"], created["state"], created["created_by"]) == (
        "ann", "operator", "active", "owner",
    )  # fmt: skip
    assert created["has_password"]
    assert PASSWORD not in str(created)
    assert "argon2" not in (await http.get("/llmos/v1/users")).text
    assert (await http.get("/llmos/v1/users")).json()["data"] == [created]
    assert (await http.put("/llmos/v1/users/ann/role", json={"role": "viewer"})).json()["role"] == "viewer"
    assert (await http.post("/llmos/v1/users/ann/disable", json={})).json()["state"] == "disabled"
    assert (await http.post("/llmos/v1/users/ann/enable", json={})).json()["state"] == "active"
    changed = await http.put("/llmos/v1/users/ann/password", json={"password": "another password entirely"})
    assert changed.status_code == 200
    assert (await http.delete("/llmos/v1/users/ann")).status_code == 204
    assert (await http.get("/llmos/v1/users/ann")).status_code == 404
    assert (await create(http, name="ann")).status_code == 409


async def test_a_wrong_request_says_which_field_is_wrong(http: httpx.AsyncClient) -> None:
    for fields, param in [
        ({"name": "Ann"}, "name"),
        ({"name": "ann", "role": "admin"}, "role"),
        ({"name": "ann", "password": "short"}, "password"),
        ({"name": "ann", "pasword": "x"}, "pasword"),
    ]:
        reply = await create(http, **fields)
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)
    assert (await create(http, name="ann", project="nowhere")).status_code == 404
    assert (await http.get("/llmos/v1/users", params={"project": "nowhere"})).status_code == 404


async def test_the_owner_of_another_project_sees_no_users(http: httpx.AsyncClient) -> None:
    await http.post("/llmos/v1/projects", json={"name": "acme"})
    await create(http, name="ann", project="acme")
    key = (await http.post("/llmos/v1/keys", json={"project": "acme", "role": "owner"})).json()["key"]
    headers = {"authorization": f"Bearer {key}"}
    assert (await http.get("/llmos/v1/users", headers=headers)).status_code == 403
    assert (await http.post("/llmos/v1/users", json={"name": "bob"}, headers=headers)).status_code == 403
    listed = (await http.get("/llmos/v1/users", params={"project": "acme"})).json()["data"]
    assert [each["name"] for each in listed] == ["ann"]
