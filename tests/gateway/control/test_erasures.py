"""/llmos/v1/erasures and the retention of projects: over HTTP, from the request that names the person on."""

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

pytestmark = pytest.mark.anyio

ASKED = {"model": "dialogue", "input": "Hello"}


async def has(http: httpx.AsyncClient, id: str) -> bool:
    return (await http.get(f"/v1/responses/{id}")).status_code == 200


@pytest.fixture
async def acme(http: httpx.AsyncClient, app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client with the key of the owner of the project acme."""
    await http.post("/llmos/v1/projects", json={"name": "acme"})
    key = (await http.post("/llmos/v1/keys", json={"project": "acme", "role": "owner"})).json()["key"]
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    headers = {"authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://llmos", headers=headers) as client:
        yield client


@pytest.mark.parametrize("named", [{"user": "ann"}, {"safety_identifier": "ann"}, {"metadata": {"user_id": "ann"}}])
async def test_a_response_goes_whatever_field_names_the_person(
    http: httpx.AsyncClient, named: dict[str, object]
) -> None:
    first = (await http.post("/v1/responses", json=ASKED | named)).json()["id"]
    later = (await http.post("/v1/responses", json=ASKED | {"previous_response_id": first})).json()["id"]
    other = (await http.post("/v1/responses", json=ASKED | {"user": "bob"})).json()["id"]
    certificate = (await http.post("/llmos/v1/erasures", json={"subject": "ann"})).json()
    assert sorted(certificate["projects"][0]["responses"]) == sorted([first, later])
    assert certificate["signature"]
    assert [await has(http, id) for id in (first, later, other)] == [False, False, True]


async def test_a_key_of_a_project_erases_in_its_own_only(http: httpx.AsyncClient, acme: httpx.AsyncClient) -> None:
    ids = [(await client.post("/v1/responses", json=ASKED | {"user": "ann"})).json()["id"] for client in (http, acme)]
    assert (await acme.post("/llmos/v1/erasures", json={"subject": "ann", "project": "owner"})).status_code == 404
    certificate = (await acme.post("/llmos/v1/erasures", json={"subject": "ann"})).json()
    assert [each["project"] for each in certificate["projects"]] == ["acme"]
    assert await has(http, ids[0])
    assert not await has(acme, ids[1])


async def test_developers_erase_nothing(http: httpx.AsyncClient) -> None:
    key = (await http.post("/llmos/v1/keys", json={})).json()["key"]
    headers = {"authorization": f"Bearer {key}"}
    assert (await http.post("/llmos/v1/erasures", json={"subject": "ann"}, headers=headers)).status_code == 403


async def test_a_project_that_keeps_nothing_says_so_in_its_answers(
    http: httpx.AsyncClient, acme: httpx.AsyncClient
) -> None:
    before = (await acme.post("/v1/responses", json=ASKED)).json()
    assert before["store"]
    described = (await http.put("/llmos/v1/projects/acme/retention", json={"retention": "nothing"})).json()
    assert described["retention"] == "nothing"
    assert not await has(acme, before["id"])
    after = (await acme.post("/v1/responses", json=ASKED)).json()
    assert not after["store"]
    assert not await has(acme, after["id"])
    files = {"file": ("a.jsonl", b"{}\n"), "purpose": (None, "batch")}
    refused = await acme.post("/v1/files", files=files)
    assert refused.status_code == 409
    assert "stores no data" in refused.text
    assert (await http.post("/v1/responses", json=ASKED)).json()["store"]


async def test_what_is_no_retention_is_refused(http: httpx.AsyncClient) -> None:
    reply = await http.put("/llmos/v1/projects/owner/retention", json={"retention": "a while"})
    assert reply.status_code == 400
    assert "default, forever, nothing" in reply.text
