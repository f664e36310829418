"""/llmos/v1/encryption: what it says, rotation, and that what is kept stays readable."""

from typing import Any

import httpx
import pytest

from llmos.data.responses import KeptResponse
from llmos.gateway.services import Services

pytestmark = pytest.mark.anyio


async def status(http: httpx.AsyncClient) -> dict[str, Any]:
    reply = await http.get("/llmos/v1/encryption")
    assert reply.status_code == 200
    return reply.json()  # type: ignore[no-any-return]


async def test_rotations_keep_what_is_kept_readable(http: httpx.AsyncClient, services: Services) -> None:
    kept = KeptResponse(id="resp_1", body="{}", items="[]")
    services.data.responses.keep("owner", kept)
    before = await status(http)
    assert (before["num_objects"], before["num_project_keys"], before["num_plain"]) == (1, 1, 0)
    rotated = (await http.post("/llmos/v1/encryption/rotate", json={})).json()
    assert rotated["project"] is None
    assert rotated["num_keys"] == 1
    assert rotated["master_key_id"] == (await status(http))["master_key_id"] != before["master_key_id"]
    of_project = (await http.post("/llmos/v1/encryption/rotate", json={"project": "owner"})).json()
    assert (of_project["project"], of_project["num_keys"]) == ("owner", 1)
    assert services.data.responses.get("owner", "resp_1") == kept
    assert (await http.post("/llmos/v1/encryption/encrypt")).json()["num_objects"] == 1


async def test_an_unknown_project_is_named(http: httpx.AsyncClient) -> None:
    reply = await http.post("/llmos/v1/encryption/rotate", json={"project": "acne"})
    assert reply.status_code == 404
    assert "no project 'acne'" in reply.text


async def test_only_owners_of_the_installation_see_and_rotate_keys(http: httpx.AsyncClient) -> None:
    await http.post("/llmos/v1/projects", json={"name": "acme"})
    for body in ({"project": "acme", "role": "owner"}, {"role": "operator"}):
        key = (await http.post("/llmos/v1/keys", json=body)).json()["key"]
        headers = {"authorization": f"Bearer {key}"}
        assert (await http.get("/llmos/v1/encryption", headers=headers)).status_code == 403
        assert (await http.post("/llmos/v1/encryption/rotate", json={}, headers=headers)).status_code == 403
