"""Knowledge: what documents answer is quoted or composed, and what they don't is not answered."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.apps import App, Knowledge, TextEvent
from llmos.apps.testing import Call, Script
from llmos.client.quoting import quote, sentences_of
from llmos.core.errors import BadRequest, NotFound
from llmos.core.schemas.knowledge import Citation, SearchDescription, SearchHit

HOURS = "# Hours\n\nWe open at 9.30 a.m. on weekdays. On Sundays the shop is closed.\nCall us! We are happy."
RETURNS = "退货需要三十天。我们免费送货。"


def hit(text: str, document: str = "hours.md", start: int = 10) -> SearchHit:
    citation = Citation(knowledge="faq@1", document=document, start=start, end=start + len(text), quote=text)
    return SearchHit(text=text, citation=citation)


def found(*hits: SearchHit, answerable: bool | None = True) -> SearchDescription:
    return SearchDescription(version="faq@1", hits=[*hits], answerable=answerable)


BOTH = hit(HOURS), hit(RETURNS, "退货.md", 0)


@pytest.mark.parametrize(
    ("question", "sentences"),
    [
        ("When do you open on weekdays?", ["We open at 9.30 a.m. on weekdays."]),
        ("Is the shop open on Sundays?", ["On Sundays the shop is closed."]),
        ("退货多久?", ["退货需要三十天。"]),
        ("xyzzy", ["We open at 9.30 a.m. on weekdays."]),
    ],
)
def test_the_sentences_with_the_rarest_words_of_the_question_are_quoted(question: str, sentences: list[str]) -> None:
    assert [each.quote for each in quote(BOTH, question)] == sentences


def test_nothing_is_quoted_of_nothing() -> None:
    assert quote([], "When?") == []
    assert quote([hit("# Hours\n\n---")], "When?") == []


@given(st.text(alphabet=st.sampled_from("aB1 .!?\n。#-é退"), max_size=60), st.integers(0, 99))
def test_a_sentence_is_where_its_citation_says(text: str, start: int) -> None:
    for each in sentences_of(hit(text, start=start).citation):
        assert text[each.start - start : each.end - start] == each.quote
        assert each.quote == each.quote.strip()


def test_an_answer_is_quoted_without_a_model() -> None:
    app = App("support", knowledge=Knowledge("faq"))
    with Script().plays(app, found(*BOTH)) as script:
        events = [*app.stream("When do you open on weekdays?", session="u42")]
        run = app.run("Is the shop open on Sundays?", session="u42")
    assert [each.type for each in events] == ["citation", "text", "done"]
    assert (run.text, run.abstained) == ("On Sundays the shop is closed.", False)
    (citation,) = run.citations
    assert (citation.document, citation.start, citation.end) == ("hours.md", 10 + HOURS.index("On S"), 10 + 73)
    assert script.prompts == []
    assert run.usage.num_calls == 0


def test_passages_without_a_sentence_answer_nothing() -> None:
    app = App("support", knowledge=Knowledge("faq"))
    with Script().plays(app, found(hit("# Hours\n\n---"))):
        run = app.run("When do you open?")
    assert (run.text, run.abstained) == ("The documents don't answer this.", True)


@pytest.mark.parametrize("search", [found(*BOTH, answerable=False), found(answerable=None)])
@pytest.mark.parametrize("way", ["quote", "compose"])
def test_what_the_documents_do_not_answer_goes_to_a_person(search: SearchDescription, way: Any) -> None:
    told: list[Any] = []

    def handoff(question: str, messages: list[Any]) -> None:
        told.append((question, len(messages)))

    app = App("support", knowledge=Knowledge("faq", answer=way, abstain="I don't know."), handoff=handoff)
    with Script().plays(app, search):
        runs = [app.run("Who am I?", session="u42") for _ in range(2)]
    assert [(run.text, run.abstained, run.citations) for run in runs] == [("I don't know.", True, ())] * 2
    assert told == [("Who am I?", 0), ("Who am I?", 2)]


def test_passages_are_material_of_one_turn() -> None:
    app = App("support", prompt="You help.", knowledge=Knowledge("faq", answer="compose"))
    with Script("We open at 9.30 a.m.", "Bye").plays(app, found(*BOTH)) as script:
        app.run("When do you open?", session="u42")
        app.run("Thanks", session="u42")
    asked = script.prompts[0].messages[-1]["content"]
    assert asked.startswith("[1] hours.md\n> # Hours\n")
    assert asked.endswith("\n\nAnswer this question from the passages: When do you open?")
    assert {"role": "user", "content": "When do you open?"} in script.prompts[1].messages
    assert str(script.prompts[1].messages).count("[1] hours.md") == 1, "those of the turn before aren't kept"


FAQ = "Who pays for repairs?\nWe do.\nThat is all.\n\nBring it along.\n\nCan I return it?\nYes, you can.\n\nCash only?"


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        ("Who pays for repairs?", "We do."),
        ("Can I return my phone?", "Yes, you can."),
        ("Cash or cheque?", "Cash only?"),
        ("What are your prices?", "From 5."),
        ("Where do I park?", "Behind it."),
    ],
)
def test_a_heading_or_a_question_lends_its_words_to_what_stands_under_it(question: str, sentence: str) -> None:
    prices = Citation(document="b.md", heading=["Shop", "Our prices"], quote="From 5.")
    hits = [hit("# Park\n\nBehind it."), SearchHit(text="", citation=prices), hit(FAQ, "faq.md")]
    assert quote(hits, question, max_sentences=1)[0].quote == sentence


def test_a_question_lends_its_words_to_one_paragraph() -> None:
    assert [each.quote for each in quote([hit(FAQ)], "Who pays for repairs?")] == ["We do.", "That is all."]


def shop(answerable: bool | None) -> tuple[App, SearchDescription]:
    app = App("support", knowledge=Knowledge("faq"))

    @app.tool
    def order_status(order_id: str) -> str:
        """Where an order is."""
        return "shipped"

    return app, found(*BOTH, answerable=answerable)


@pytest.mark.parametrize("answerable", [False, None])
def test_tools_answer_what_the_documents_do_not(answerable: bool | None) -> None:
    app, search = shop(answerable)
    with Script(Call("order_status", order_id="A"), "It has shipped.").plays(app, search):
        run = app.run("Where is A?")
    assert (run.text, run.citations, run.abstained) == ("It has shipped.", (), False)


@pytest.mark.parametrize(
    ("answerable", "text"),
    [(False, "The documents don't answer this."), (None, "We open at 9.30 a.m. on weekdays.")],
)
def test_a_model_that_calls_no_tool_says_nothing(answerable: bool | None, text: str) -> None:
    app, search = shop(answerable)
    with Script("I made this up.", "I made this up.").plays(app, search) as script:
        events = [*app.stream("When do you open on weekdays?", session="u42")]
        app.run("When do you open on weekdays?", session="u42")
    assert [event.text for event in events if isinstance(event, TextEvent)] == [text]
    assert "made this up" not in str(script.prompts[1].messages), "it isn't in the session either"


def test_what_the_documents_answer_needs_no_model_beside_tools() -> None:
    app, search = shop(True)
    with Script().plays(app, search):
        assert app.run("When do you open on weekdays?").text == "We open at 9.30 a.m. on weekdays."


def test_a_quote_has_no_type() -> None:
    with pytest.raises(BadRequest, match="An app that quotes has no `output`"):
        App("support", knowledge=Knowledge("faq"), output=int)


def test_without_a_server_there_is_no_knowledge() -> None:
    app = App("support", knowledge=Knowledge("faq"))
    with Script().plays(app), pytest.raises(NotFound, match="no knowledge 'faq'"):
        app.run("Hi")
