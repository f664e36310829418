"""/llmos/v1/feedback: over HTTP and through both clients."""

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from llmos.client import AsyncClient
from llmos.core.errors import BadRequest
from support.scripted import KEY

pytestmark = pytest.mark.anyio

ASKED = [{"role": "user", "content": "Name a color."}]


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with AsyncClient("http://127.0.0.1:9", api_key=KEY, transport=transport) as client:
        yield client


async def test_feedback_is_among_the_facts_of_the_answer_and_becomes_a_dataset(
    client: AsyncClient, http: httpx.AsyncClient
) -> None:
    body = {"model": "smollm2", "messages": ASKED}
    answer = (await http.post("/v1/chat/completions", json=body)).json()
    text = answer["choices"][0]["message"]["content"]
    given = await client.feedback.give(answer["id"], rating="down", correction="Red.", messages=ASKED, text=text)
    assert [each.id for each in (await client.feedback.list(rating="down")).data] == [given.id]
    (fact,) = (await client.answers.get(answer["id"])).feedback
    assert (fact.rating, fact.is_corrected, fact.actor) == ("down", True, "owner")
    made = await client.feedback.export("liked")
    assert (made.version, made.kind, made.num_rows, made.source) == ("liked@1", "preference", 1, "feedback")
    await client.feedback.remove(given.id)
    assert (await client.feedback.list()).data == []
    with pytest.raises(BadRequest, match="No feedback makes a row of the kind chat"):
        await client.feedback.export("good", kind="chat")


async def test_a_vote_names_what_it_is_against(client: AsyncClient) -> None:
    with pytest.raises(BadRequest, match="needs the other answers"):
        await client.feedback.give("a-1", kind="vote", messages=ASKED, text="Red.")
    rejected = [{"answer": "a-2", "version": "tiny@1", "text": "Blue."}]
    given = await client.feedback.give(
        "a-1", kind="vote", messages=ASKED, text="Red.", rejected=rejected, is_blind=True
    )
    assert (given.content.rejected[0].version, given.content.is_blind) == ("tiny@1", True)


async def test_an_erasure_removes_the_feedback_of_a_person(client: AsyncClient) -> None:
    given = await client.feedback.give("a-1", rating="up", user="ann")
    (erased,) = (await client.erasures.forget("ann")).projects
    assert erased.feedback == [given.id]


async def test_a_project_sees_its_own_feedback_alone(client: AsyncClient, acme: httpx.AsyncClient) -> None:
    await client.feedback.give("a-1", rating="up")
    assert (await acme.get("/llmos/v1/feedback")).json()["data"] == []
    assert (await acme.post("/llmos/v1/feedback", json={"answer": "a-1", "rating": "sideways"})).status_code == 400
