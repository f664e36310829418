"""Brains with knowledge: whoever writes the answer, the documents decide what is said.

The script scores words: those that the prompt has are likely.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from pydantic import BaseModel

from llmos.apps import App, Knowledge, Reply, TextEvent
from llmos.apps.testing import Script
from llmos.core.schemas.knowledge import Citation, SearchDescription, SearchHit, Sentence

HOURS = SearchHit(
    text="Doors unlock at nine on weekdays.",
    citation=Citation(document="hours.md", quote="Doors unlock at nine on weekdays.", end=33),
)
FOUND = SearchDescription(version="faq@1", hits=[HOURS], answerable=True)
NOTHING = SearchDescription(version="faq@1", hits=[HOURS], answerable=False)
DRAFT = "Doors unlock at nine. Penguins never sleep."


def answered(brain: Any, found: SearchDescription = FOUND, *, script: Script | None = None, **options: Any) -> Any:
    knowledge = Knowledge("faq", **{"answer": "compose", **options.pop("knowledge", {})})
    app = App("support", brain=brain, knowledge=knowledge, **options)
    with (script or Script()).plays(app, found):
        return app.run("When do doors unlock?", session="u42")


def test_what_a_brain_says_without_support_is_left_out_and_the_rest_is_cited() -> None:
    run = answered(lambda text: DRAFT)
    assert run.text == "Doors unlock at nine."
    assert [(each.text, each.citations[0].document) for each in run.sentences] == [
        ("Doors unlock at nine.", "hours.md")
    ]
    assert run.steps[-1].result["content"] == "Doors unlock at nine.", "the session keeps what was said"


def test_it_may_be_marked() -> None:
    marked = answered(lambda text: DRAFT, knowledge={"unsupported": "mark"})
    assert marked.text == "Doors unlock at nine. Penguins never sleep. [unsupported]"


def test_a_brain_gets_the_passages_before_the_question() -> None:
    asked = list[str]()

    def brain(text: str) -> str:
        asked.append(text)
        return "Doors unlock at nine."

    answered(brain)
    assert "> Doors unlock at nine on weekdays." in asked[0]
    assert asked[0].endswith("When do doors unlock?")


def test_or_as_a_list_beside_its_variables() -> None:
    async def brain(text: str, *, tone: str = "plain", passages: Sequence[SearchHit]) -> str:
        assert (text, tone) == ("When do doors unlock?", "kind")
        return passages[0].text

    run = answered(brain, variables={"tone": "kind"})
    assert run.text == HOURS.text
    assert run.citations


@pytest.mark.parametrize("mode", ["compose", "quote"])
def test_a_question_that_the_documents_do_not_answer_reaches_no_brain(mode: str) -> None:
    def brain(text: str) -> str:
        raise AssertionError("it isn't asked")

    handed = list[str]()
    run = answered(
        brain,
        NOTHING,
        knowledge={"answer": mode, "abstain": "I don't know."},
        handoff=lambda question, messages: handed.append(question),
    )
    assert (run.text, run.abstained, handed) == ("I don't know.", True, ["When do doors unlock?"])


def test_documents_are_quoted_whoever_could_answer() -> None:
    run = answered(lambda text: "Penguins never sleep.", knowledge={"answer": "quote"})
    assert run.text == HOURS.text


def test_nobody_hears_a_draft_before_it_is_checked() -> None:
    async def brain(text: str) -> AsyncIterator[str]:
        for piece in ("Doors unlock at nine. ", "Penguins never sleep."):
            yield piece

    app = App("support", brain=brain, knowledge=Knowledge("faq", answer="compose"))
    with Script().plays(app, FOUND):
        events = [*app.stream("When?")]
    assert [event.text for event in events if isinstance(event, TextEvent)] == ["Doors unlock at nine."]


def test_an_object_is_checked_as_a_whole() -> None:
    class Hours(BaseModel):
        text: str

    run = answered(lambda text: {"text": "doors unlock at nine"}, output=Hours)
    assert run.output == Hours(text="doors unlock at nine")
    assert [each.document for each in run.citations] == ["hours.md"]
    assert answered(lambda text: {"text": "penguins"}, output=Hours).abstained


def test_a_reply_that_cites_or_abstains_itself_is_given_as_it_is() -> None:
    sentence = Sentence(text="Penguins never sleep.", citations=[Citation(document="birds.md")])
    run = answered(lambda text: Reply(text="Penguins never sleep.", sentences=[sentence]))
    assert (run.text, run.citations[0].document) == ("Penguins never sleep.", "birds.md")
    assert answered(lambda text: Reply(text="Ask a person.", abstained=True)).text == "Ask a person."


def test_without_scores_the_answer_says_so() -> None:
    run = answered(lambda text: Reply(text=DRAFT, notes=["Written by hand."]), script=Script(can_score=False))
    assert run.text == DRAFT
    assert run.notes[0] == "Written by hand."
    assert run.notes[1].startswith("No sentence was checked")
