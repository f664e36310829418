"""Answers: the pattern that the server holds a model to, and the check of what comes back, agree."""

import re
from typing import Any

import llguidance
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from llmos.applications.translate.cutting import cut
from llmos.applications.translate.glossary import Glossary, Term
from llmos.applications.translate.segments import Segment
from support.examples import examples

GLOSSARY = Glossary((Term(source="refund policy", forms=("Rückgaberegeln", "Rückgaberegel")), Term(source="ACME")))
PIECES = ["{name}", "{x}", "%s", "<i>", "</i>", "<br/>", "5", "16", "5 km", "€ 5", "https://x.org/a", "a@b.de", "`x y`"]
PIECES += [
    "MP3",
    "*",
    "**",
    "&amp;",
    "$HOME",
    "-5 °C",
    "ACME",
    "refund policy",
    "x_y",
    "{n, plural, one {a} other {b}}",
]
WORDS = st.sampled_from(["of", "the", "says:", '"quoted"', "(so)", "and,", "-", "'s"])
SOURCES = st.tuples(
    st.sampled_from(["We", "It is", "我们"]),
    st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from(["", " ", " "]), WORDS), max_size=4),
).map(lambda made: " ".join([made[0], *("".join(each) for each in made[1])]))


def segment_of(text: str) -> Segment:
    return next(iter(cut(text, GLOSSARY).segments()))


def as_python(pattern: str) -> re.Pattern[str]:
    """Return a pattern of Rust's regex as one of Python's, with fewer letters."""
    for rust, python in (
        (r"\p{Nd}", "0-9٠-٩"),
        (r"\p{Cc}", r"\x00-\x1f\x7f-\x9f"),
        (r"\p{Sc}", "$€£¥₹"),
        (r"\p{L}", "A-Za-z"),
    ):
        pattern = pattern.replace(rust, python)
    return re.compile(pattern.replace(r"\p{Co}", r"\uE000-\uF8FF"))


ALPHABET = st.sampled_from([chr(code) for code in range(32, 127)] + [*"€°üäßж我⟦⟧\n\u2028٣"])


@pytest.mark.thorough
@given(st.data())
@settings(max_examples=examples(12, fast=6), phases=[Phase.generate])  # To shrink takes minutes here.
def test_whatever_matches_the_pattern_keeps_every_piece(data: Any) -> None:
    segment = segment_of(data.draw(SOURCES))
    answer = data.draw(st.from_regex(as_python(segment.pattern), fullmatch=True, alphabet=ALPHABET))
    fault = segment.fault(answer)
    # None is lost, repeated or put into another order. What the check finds besides: no words at all, or letters and
    # points beside a piece that read as a part of it, or as the name of a file.
    dull = r"|is empty|has no words|is far longer than its source|has '[^{<%0-9]+', which .*|changes how .* reads"
    assert re.fullmatch(dull, fault), (segment.shown, answer, fault)


@pytest.mark.thorough
@given(SOURCES)
@settings(max_examples=examples(40, fast=10))
def test_the_source_itself_matches_its_pattern(source: str) -> None:
    segment = segment_of(source)
    if len({unit.forms for unit in segment.units}) <= 4:
        assert as_python(segment.pattern).fullmatch(segment.shown), segment.shown


@pytest.mark.parametrize(
    ("source", "answer"),
    [
        ("Pay {a} to {b} now", "Zahle {b} jetzt {a}"),
        ("Our refund policy at ACME", "Bei ACME keine Rückgaberegel"),
        ("The <i>first</i> of 5", "Von 5 <i>das erste</i>"),
        ("It costs € 5 or 5 km", "5 km oder € 5 kostet es"),
        ("A Ä 我 of ⟦ and ⟧", "我 ⟦1⟧ und ⟦2⟧"),
    ],
)
def test_the_engine_can_read_the_pattern(source: str, answer: str) -> None:
    """The answers in another order are allowed, and those that lose or change something aren't."""
    segment = segment_of(source)
    assert segment.fault(answer) == ""
    assert accepts(segment.pattern, answer)
    for form in {form for unit in segment.units for form in unit.forms if form in answer}:
        assert not accepts(segment.pattern, answer.replace(form, ""))


def accepts(pattern: str, answer: str) -> bool:
    """Ask the library that the engine enforces grammars with."""
    tokenizer = llguidance.LLTokenizer("byte")
    matcher = llguidance.LLMatcher(tokenizer, llguidance.LLMatcher.grammar_from_regex(pattern))
    assert not matcher.get_error(), matcher.get_error()
    tokens = tokenizer.tokenize_str(answer)
    return matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ("Zahle an {name}.", "misses '10 €'"),
        ("Zahle 10 € und 10 € an {name}.", "has '10 €' more often"),
        ("Zahle 10 € an {nom}.", "misses '{name}'"),
        ("Zahle 10 € an {name} und {foo}.", "has '{foo}', which its source doesn't have"),
        ("Zahle 110 € an {name}.", "misses '10 €'"),
        ("Zahle -10 € an {name}.", "misses '10 €'"),
        ("Zahle 10 € an {name}.\nBitte.", "has a line break"),
        ("Zahle 10 € an {name} am 3. Mai.", "has '3'"),
        ("Zahle 10 € an <b>{name}</b>.", "has '<b>'"),
        ("10 € {name}.", "has no words"),
        ("  ", "is empty"),
        ("Zahle 10 € an {name}. " + "Und noch. " * 40, "is far longer"),
    ],
)
def test_what_is_wrong_with_an_answer_is_said(answer: str, fault: str) -> None:
    assert segment_of("Pay 10 € to {name}.").fault(answer).startswith(fault)


def test_tags_keep_their_order() -> None:
    segment = segment_of("The <i>first</i> of <b>all</b> men")
    assert segment.fault("Von <i>allen</i> der <b>erste</b>") == ""
    assert segment.fault("Von <b>allen</b> der <i>erste</i>") == "has its tags or signs in another order"


def test_a_term_may_have_endings_but_stands_in_no_other_word() -> None:
    segment = segment_of("ACME is here")
    assert segment.fault("ACMEs Haus") == ""
    assert segment.fault("LACME ist hier") == "misses 'ACME' for the term 'ACME'"
