"""Answers that a function checks first: nobody sees a blocked one, no event, no session and no later prompt."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import BaseModel

from llmos.apps import App, Knowledge, Reply
from llmos.apps.memory import MemoryServer
from llmos.apps.testing import Script
from llmos.core.schemas.knowledge import Citation, SearchDescription, SearchHit


def check(text: str) -> str | None:
    return None if "400 mg" in text else text.replace("Ann", "[NAME]")


def checked(**options: Any) -> App:
    app = App("health", **options)
    app.check_answers(check)
    return app


def texts(events: Any) -> str:
    return "".join(event.text for event in events if event.type == "text")


def test_a_blocked_answer_of_the_model_is_seen_by_nobody() -> None:
    app, server = checked(handoff="queue"), MemoryServer(Script("Take 400 mg.", "Hello Ann."))
    with app.replaced(server):
        events = [*app.stream("How much?", session="u42")]
        run = app.run("And who am I?", session="u42")
    blocked = events[-1].run  # type: ignore[union-attr]
    assert (blocked.text, blocked.abstained) == ("I can't answer this.", True)
    assert texts(events) == "I can't answer this."
    assert [each.id for each in server.handoffs.made.values()] == [blocked.handoff]
    assert run.text == "Hello [NAME]."
    script: Any = server.played
    assert "400 mg" not in str(script.prompts[1].messages)


async def pieces(text: str) -> AsyncIterator[str]:
    yield "Take "
    yield "400 mg."


@pytest.mark.parametrize(
    "brain",
    [lambda text: "Take 400 mg.", lambda text: Reply(text="Take 400 mg."), pieces],
    ids=["text", "reply", "stream"],
)
def test_a_blocked_answer_of_a_brain_is_seen_by_nobody(brain: Any) -> None:
    app = checked(brain=brain)
    with Script().plays(app):
        events = [*app.stream("How much?")]
    assert texts(events) == "I can't answer this."


def test_quotes_are_checked_and_a_masked_one_has_no_sentences() -> None:
    def found(quote: str) -> SearchDescription:
        citation = Citation(document="a.md", quote=quote, end=len(quote))
        return SearchDescription(answerable=True, hits=[SearchHit(text=quote, citation=citation)])

    app = checked(knowledge=Knowledge("faq", abstain="Ask a doctor."))
    with Script().plays(app, found("Adults take 400 mg of ibuprofen.")):
        assert app.run("How much ibuprofen?").text == "Ask a doctor."
    with Script().plays(app, found("The doctor is called Ann.")):
        run = app.run("Who is the doctor?")
    assert (run.text, run.sentences) == ("The doctor is called [NAME].", ())


def test_an_object_may_only_be_seen_as_it_is() -> None:
    class Person(BaseModel):
        name: str

    app = checked(output=Person)
    with Script('{"name": "Bob"}', '{"name": "Ann"}').plays(app):
        assert app.run("Who?").output == Person(name="Bob")
        masked = app.run("Who?")
    assert (masked.output, masked.abstained) == (None, True)


def test_a_brain_that_abstains_hands_over() -> None:
    app, server = (
        App("x", brain=lambda text: Reply(text="I don't know.", abstained=True), handoff="queue"),
        MemoryServer(),
    )
    with app.replaced(server):
        run = app.run("How much?")
    assert [each.id for each in server.handoffs.made.values()] == [run.handoff]
