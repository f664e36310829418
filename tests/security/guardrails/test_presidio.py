"""Names of people and places, found by Presidio with a real spaCy model."""

import sys
from typing import Any

import pytest

from llmos.core.errors import BadRequest
from llmos.security.guardrails.policy import open_policy
from llmos.security.guardrails.screening import Screening

pytestmark = pytest.mark.torch  # spaCy imports it where it is installed.

TEXT = "My name is John Smith. I live in Paris, near the office of Angela Merkel, and the weather is fine."


def screening(side: str, **fields: Any) -> Screening:
    return Screening([open_policy("names", 1, {side: [{"guardrail": "presidio", **fields}]})])


def test_people_and_places_are_masked_in_prompts() -> None:
    masked = "My name is [PERSON]. I live in [LOCATION], near the office of [PERSON], and the weather is fine."
    assert screening("input").screen_prompt([TEXT, "Nobody."]) == [masked, "Nobody."]


def test_only_what_is_looked_for_is_found() -> None:
    (screened,) = screening("input", entities=["location"]).screen_prompt([TEXT])
    assert screened == TEXT.replace("Paris", "[LOCATION]")


def test_the_names_of_a_prompt_come_back_in_the_answer() -> None:
    screened = screening("input", action="placeholder")
    (prompt,) = screened.screen_prompt(["My name is John Smith and I live in Paris."])
    assert prompt == "My name is [PERSON_1] and I live in [LOCATION_1]."
    channel = screened.open_channel()
    assert channel.push("Dear [PERS") + channel.push("ON_1], ") + channel.finish() == "Dear John Smith, "


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_an_answer_is_masked_however_it_is_cut_into_chunks(size: int) -> None:
    text = " ".join([TEXT] * 6)
    whole = screening("output").open_channel()
    expected = whole.push(text) + whole.finish()
    assert "Smith" not in expected
    assert "Merkel" not in expected
    channel = screening("output").open_channel()
    assert "".join(channel.push(text[i : i + size]) for i in range(0, len(text), size)) + channel.finish() == expected


def test_a_policy_says_what_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadRequest, match="Run `pip install xx_ent_wiki_sm` there"):
        screening("input", model="xx_ent_wiki_sm")
    monkeypatch.setitem(sys.modules, "presidio_analyzer", None)
    monkeypatch.setattr("llmos.security.guardrails.kinds.presidio.find_spec", lambda _: None)
    with pytest.raises(BadRequest, match=r"Run `pip install 'llmos\[presidio\]'` there"):
        screening("input")


@pytest.mark.parametrize(("fields", "why"), [({"entities": []}, "is empty"), ({"entities": ["persn"]}, "mean person")])
def test_entities_that_there_are_not_are_refused(fields: Any, why: str) -> None:
    with pytest.raises(BadRequest, match=why):
        screening("input", **fields)
