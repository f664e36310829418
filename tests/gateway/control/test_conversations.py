"""/llmos/v1/conversations: over HTTP and through both clients."""

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from llmos.client import AsyncClient
from llmos.core.errors import BadRequest, NotFound, PermissionDenied
from support.scripted import KEY

pytestmark = pytest.mark.anyio

QUESTION, ANSWER = {"role": "user", "content": "Name a color."}, {"role": "assistant", "content": "Red."}


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with AsyncClient("http://127.0.0.1:9", api_key=KEY, transport=transport) as client:
        yield client


async def test_a_conversation_is_kept_found_branched_renamed_and_removed(client: AsyncClient) -> None:
    made = await client.conversations.create("Colors", settings={"model": "smollm2"})
    told = {"message": ANSWER, "answer": "chatcmpl-1", "facts": {"seconds": 0.5}}
    assert (await client.conversations.add(made.id, QUESTION, told)).leaf == 1
    assert (await client.conversations.add(made.id, ANSWER, parent=0)).leaf == 2
    changed = await client.conversations.change(made.id, title="Warm colors", leaf=1)
    assert (changed.title, changed.leaf, changed.num_messages) == ("Warm colors", 1, 3)
    found = await client.conversations.list("warm red")
    assert [each.id for each in found.data] == [made.id]
    read = await client.conversations.get(made.id)
    assert [each.message for each in read.messages] == [QUESTION, ANSWER, ANSWER]
    assert read.messages[1].facts == {"seconds": 0.5}
    await client.conversations.remove(made.id)
    with pytest.raises(NotFound):
        await client.conversations.get(made.id)


async def test_bad_requests_say_what_is_wrong(client: AsyncClient) -> None:
    made = await client.conversations.create()
    with pytest.raises(BadRequest, match="begins with a message of the role user"):
        await client.conversations.add(made.id, ANSWER)
    with pytest.raises(BadRequest, match="messages"):
        await client.conversations.add(made.id)
    with pytest.raises(BadRequest, match="limit"):
        await client.conversations.list(limit=1000)


async def test_an_erasure_removes_the_conversations_of_a_person(client: AsyncClient) -> None:
    made = await client.conversations.create("Ann's", user="ann")
    (erased,) = (await client.erasures.forget("ann")).projects
    assert erased.conversations == [made.id]
    assert (await client.conversations.list()).data == []


async def test_a_key_sees_its_own_conversations_alone(
    client: AsyncClient, acme: httpx.AsyncClient, app: FastAPI
) -> None:
    made = await client.conversations.create("The owner's")
    assert (await acme.post("/llmos/v1/conversations", json={"title": "Acme's"})).status_code == 200
    (listed,) = (await acme.get("/llmos/v1/conversations")).json()["data"]
    assert listed["title"] == "Acme's"
    assert (await acme.get(f"/llmos/v1/conversations/{made.id}")).status_code == 404
    assert [each.id for each in (await client.conversations.list()).data] == [made.id]
    viewer = (await client.keys.create(role="viewer")).key
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with AsyncClient("http://127.0.0.1:9", api_key=viewer, transport=transport) as other:
        with pytest.raises(PermissionDenied, match="conversations:use"):
            await other.conversations.list()
