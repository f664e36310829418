"""An app that abstains tells a person, once, however often the run is continued."""

from typing import Any

import pytest

from llmos.apps import App, Knowledge
from llmos.apps.memory import MemoryServer
from llmos.apps.server import Unkept
from llmos.apps.testing import Script
from llmos.core.errors import BadRequest
from llmos.core.schemas.knowledge import SearchDescription

NOTHING = SearchDescription()


def app(**options: Any) -> App:
    return App("support", knowledge=Knowledge("faq", abstain="I don't know."), **{"handoff": "queue"} | options)


def test_a_question_that_the_documents_do_not_answer_goes_to_the_queue() -> None:
    support, server = app(), MemoryServer(Script(), NOTHING)
    with support.replaced(server):
        first = support.run("Hello?", session="u42")
        run = support.run("Do you repair it?", session="u42")
        said = support.run("Once more?", session="u42", dry_run=True)
    _, made = server.handoffs.made.values()
    assert (run.text, run.abstained, run.handoff) == ("I don't know.", True, made.id)
    assert (made.question, made.run, made.app) == ("Do you repair it?", run.id, "support")
    assert [each["content"] for each in made.messages] == ["Hello?", "I don't know."]
    assert first.handoff != run.handoff
    assert (said.abstained, said.handoff) == (True, None), "a dry run has no effects"


def test_a_webhook_is_named_to_the_server() -> None:
    asked: list[Any] = []
    server = MemoryServer(Script(), NOTHING)
    create = server.handoffs.create

    async def remember(**fields: Any) -> Any:
        asked.append(fields)
        return await create(**fields)

    server.handoffs.create = remember  # type: ignore[method-assign]
    support = app(handoff={"webhook": "crm"})
    with support.replaced(server):
        support.run("Do you repair it?")
    assert asked[0]["webhook"] == "crm"


def test_a_run_that_is_continued_hands_over_once() -> None:
    """The process died after the server had made the handoff, and before the journal had its end."""
    server = MemoryServer(Script(), NOTHING)
    create, is_first = server.handoffs.create, [True]

    async def die_once(**fields: Any) -> Any:
        made = await create(**fields)
        if is_first.pop() if is_first else False:
            raise ConnectionError("the process died")
        return made

    server.handoffs.create = die_once  # type: ignore[method-assign]
    support = app()
    with support.replaced(server):
        run = support.run("Do you repair it?")
    assert run.state == "succeeded"
    assert [each.id for each in server.handoffs.made.values()] == [run.handoff]


def test_an_app_without_a_journal_hands_over_without_its_run() -> None:
    kept = MemoryServer(Script(), NOTHING)
    support = app(journal=False)
    with support.replaced(Unkept(kept, MemoryServer())):
        support.run("Do you repair it?")
    (made,) = kept.handoffs.made.values()
    assert (made.run, made.session) == (None, None)


def test_what_a_function_returns_is_in_the_run() -> None:
    told: list[str] = []
    support = app(handoff=lambda question, messages: told.append(question) or "ticket 7")
    with Script().plays(support, NOTHING):
        assert support.run("Do you repair it?").handoff == "ticket 7"
    assert told == ["Do you repair it?"]


@pytest.mark.parametrize("handoff", ["que", {"webhok": "crm"}, {"webhook": 3}, 7])
def test_what_can_not_be_a_handoff_is_refused(handoff: Any) -> None:
    with pytest.raises(BadRequest, match="'queue'"):
        app(handoff=handoff)
