"""Needles: no match in an ASCII text is missed because a text was not searched."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos.security.guardrails.kinds import pii, secrets
from llmos.security.guardrails.needles import NeedleSearch, union
from llmos.security.guardrails.patterns import compile_re2, parse, parse_phrase

EXPRESSIONS = [
    "(?:AKIA|ASIA)[A-Z2-7]{16}",
    "[0-9]{4}-[0-9]{4}",
    r"\d{3} \d{2}",
    "(?:key|token)(?:=>|[:=：]|is )[a-z]{4,8}",
    "a(?:b|c?)d{0,2}e{1,9}f{1,3}",
    "x{0,2}[^y]z",
    "(?i:Pass)word[!?]",
    "密码: [a-z]{2}",
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
@pytest.mark.parametrize("ignore_case", [True, False])
@settings(max_examples=30)
@given(data=st.data())
def test_every_match_in_an_ascii_text_has_a_needle(expression, ignore_case, data):
    pattern = parse(expression, ignore_case=ignore_case)
    flags = re.IGNORECASE if ignore_case else 0
    text = data.draw(st.from_regex(re.compile(expression, flags), fullmatch=False))
    matched = compile_re2(pattern.full).search(text.encode(errors="surrogatepass"))
    if text.isascii() and matched is not None and pattern.needles is not None:
        assert not NeedleSearch(pattern.needles).finds_none(text.lower())


def test_the_rarest_part_is_looked_for():
    assert parse("[0-9]{4}_[a-z]{4}").needles == {"_"}
    assert parse("(?:AKIA|SIAB)[A-Z2-7]{16}").needles == {"akia", "siab"}
    assert parse_phrase("Project Falcon").needles == {"project"} or parse_phrase("Project Falcon").needles == {"falcon"}
    assert parse("[a-z]{4,8}").needles is None
    assert union([parse("ab").needles, parse("[a-z]").needles]) is None
    assert union([frozenset({"token"}), frozenset({"auth_token"})]) == {"token"}


@pytest.mark.parametrize("kind", [pii, secrets])
def test_prose_is_not_searched(kind, monkeypatch):
    rules = kind.open(kind.Options()).rules
    monkeypatch.setattr(rules, "search", None)
    assert rules.match_none_of(["What is an operating system?", "It runs programs, one after another."])
    for text in ("Mail ann@example.com", "api_key = 'x9$Lq02m'", "Привет"):
        with pytest.raises(AttributeError):
            rules.match_none_of([text, "_1:"])
