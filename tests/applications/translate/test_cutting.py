"""Cutting: what of a text is translated, and that all else is restored as it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.applications.translate.cutting import cut
from llmos.applications.translate.glossary import Glossary, Term
from llmos.core.errors import BadRequest

PARTS = ["Hello", "you. ", "Dr. Who ", "{name}", "<b>", "</b>", "<br/>", "- ", "# ", "5 km", " ", "**", "`x`", "。"]
PARTS += ["你好", "1. ", "a.b", "\n", "\r\n", "\t", "```\n", "\u2028"]
TEXTS = st.lists(st.sampled_from([*PARTS, "| ", "{n, plural, one {# item} other {# items}}"]), max_size=20).map("".join)


def segments(text: str, glossary: Glossary | None = None) -> list[str]:
    return [segment.text for segment in cut(text, glossary).segments()]


@given(TEXTS)
def test_a_text_without_answers_is_the_same_text(text: str) -> None:
    assert cut(text).render({}) == text


@given(TEXTS)
def test_line_breaks_and_spaces_around_lines_stay(text: str) -> None:
    document = cut(text)
    rendered = document.render({segment.text: "x" for segment in document.segments() if not segment.units})
    assert [line[:1].isspace() for line in rendered.splitlines()] == [line[:1].isspace() for line in text.splitlines()]
    assert len(rendered.splitlines()) == len(text.splitlines())


@given(TEXTS)
def test_the_source_keeps_everything_that_it_has(text: str) -> None:
    for segment in cut(text).segments():
        assert segment.fault(segment.shown) in ("", "is far longer than its source"), segment


def test_sentences_are_translated_one_by_one() -> None:
    assert segments("One day. Dr. Who came!  And e.g. left.\nEnd") == [
        "One day.",
        "Dr. Who came!",
        "And e.g. left.",
        "End",
    ]


def test_a_sentence_ends_at_no_piece() -> None:
    text = "See `x. Y` at 3.5 m. Done <a title='A. B'>so</a>."
    assert segments(text) == ["See `x. Y` at 3.5 m.", "Done <a title='A. B'>so</a>."]


@pytest.mark.parametrize(
    ("text", "translated"),
    [
        ("- [x] Buy milk", ["Buy milk"]),
        ("## 3. News\n> quoted", ["News", "quoted"]),
        ("  <p class='a'>One <i>two</i></p>", ["One <i>two</i>"]),
        ("<p>First. Second.</p>", ["First.", "Second."]),
        ("**All bold**", ["All bold"]),
        ("**Part** bold", ["**Part** bold"]),
        ("| Name | 5 |\n|---|---|\n| One | {x} two |", ["Name", "One", "{x} two"]),
        ("a\tb", ["a", "b"]),
        ("```\ncode here\n```", []),
        ("{name}: 5 km, https://x.org", []),
    ],
)
def test_only_words_are_translated(text: str, translated: list[str]) -> None:
    assert segments(text) == translated


def test_a_text_of_pieces_alone_needs_no_model() -> None:
    glossary = Glossary((Term(source="refund", forms=("Erstattung",)),))
    assert cut("Refund: {name}\n\n5 km", glossary).render({}) == "Erstattung: {name}\n\n5 km"


def test_branches_of_messages_are_translated_in_their_places() -> None:
    document = cut("You have {n, plural, one {# item} other {# items}} here")
    outer, one, other = document.segments()
    assert (outer.shown, one.text, other.text) == ("You have ⟦1⟧ here", "# item", "# items")
    answers = {outer.text: "Hier hast du ⟦1⟧", one.text: "# Ding", other.text: "# Dinge"}
    assert document.render(answers) == "Hier hast du {n, plural, one {# Ding} other {# Dinge}}"


def test_a_long_sentence_is_cut_between_clauses() -> None:
    text = ", ".join(f"clause {'x' * 90}" for _ in range(40))
    parts = segments(text)
    assert len(parts) > 2
    assert all(len(part) <= 1200 for part in parts)


def test_a_text_with_what_is_no_character_is_refused() -> None:
    with pytest.raises(BadRequest, match=r"U\+FDD0"):
        cut("a\ufdd0b")
