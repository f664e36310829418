"""Polishing: better wording with visible changes; figures and names stay."""

from collections.abc import Callable
from typing import Any

import pytest

from llmos.applications.write import Writer
from llmos.apps import App, Limits, Run
from llmos.apps.testing import Script
from llmos.client.prompted_models import Prompt
from llmos.core.errors import BadRequest


def polish(text: Any, change: Callable[[str], str], **variables: Any) -> Run:
    def answer(prompt: Prompt) -> str:
        return change(prompt.messages[-1]["content"].partition(":\n\n")[2])

    app = App("write", brain=Writer(), limits=Limits(steps=40))
    with Script(answer).plays(app):
        return app.run(text, variables={"task": "polish", **variables})


def test_the_changes_are_visible() -> None:
    run = polish("Teh shop are open.", lambda text: "The shop is open.")
    assert run.text == "The shop is open."
    assert run.output["changes"] == "[-Teh-]{+The+} shop [-are-]{+is+} open."


def test_a_paragraph_whose_figures_or_names_change_stays_and_is_noted() -> None:
    text = "We have 12 shops.\n\nYesterday Ada was there.\n\nIt are good."

    def change(part: str) -> str:
        return part.replace("12", "13").replace("Ada", "Bob").replace("are", "is")

    run = polish(text, change)
    assert run.text == "We have 12 shops.\n\nYesterday Ada was there.\n\nIt is good."
    assert list(run.notes) == [
        "“We have 12 shops.” stays as it was: the model changed figures (12, 13).",
        "“Yesterday Ada was there.” stays as it was: the model changed names (Ada, Bob).",
    ]
    allowed = polish(text, change, allow=["numbers", "names"])
    assert allowed.text == "We have 13 shops.\n\nYesterday Bob was there.\n\nIt is good."


@pytest.mark.parametrize("other", ["", "Ok.", "Here is a long essay about shops. " * 5])
def test_an_answer_that_is_another_text_is_refused(other: str) -> None:
    run = polish("The shop are open on all days.", lambda text: other)
    assert run.text == "The shop are open on all days."
    assert run.output["is_changed"] is False
    assert "another text" in run.notes[0]


def test_headings_code_and_tables_are_not_touched() -> None:
    text = "# Titel\n\n```\ncode are\n\nmore are\n```\n\n| a | b |\n\nThe shop are open.\n"
    run = polish(text, lambda part: part.replace("are", "is"))
    assert run.text == text.replace("shop are", "shop is")


def test_a_long_paragraph_is_polished_in_parts_of_whole_sentences() -> None:
    sizes = []

    def change(part: str) -> str:
        sizes.append(len(part))
        return part

    text = "This sentence are one of many. " * 200
    assert polish(text, change).text == text
    assert len(sizes) > 3
    assert max(sizes) <= 1_500


@pytest.mark.parametrize("text", ["", "  ", {"topic": "x"}])
def test_nothing_to_polish_is_one_line(text: Any) -> None:
    with pytest.raises(BadRequest, match="no text to polish"):
        polish(text, lambda part: part)
