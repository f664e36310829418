"""Streams of guardrails: any split into chunks gives what the whole text gives, and nothing matched leaves."""

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos.core.errors import BadRequest
from llmos.security.guardrails.guardrail import Hit, Piece, Stream, pieces_of
from llmos.security.guardrails.patterns import LATIN, Pattern, parse, parse_phrase
from llmos.security.guardrails.policy import Policy, open_policy
from llmos.security.guardrails.scanner import Rule, RuleSet, Scanner
from llmos.security.guardrails.screening import ChannelScreen, Screening
from support.examples import examples


@cache
def rules() -> RuleSet:
    return RuleSet(
        [
            Rule("word", parse(r"\bab?c\b")),
            Rule("start", parse(r"^bb")),
            Rule("end", parse(r"c{2,4}$")),
            Rule("either", parse("(?:abab|ba{1,3}|b(?:cc|c a){1,2})é?")),
            Rule("phrase", parse_phrase("CA ab")),
            Rule("han", parse_phrase("炸弹")),
            Rule("even", parse("[aé]{2,6}"), lambda text: [(1, len(text))] if len(text) % 2 == 0 else []),
        ]
    )


@cache
def rules_without_ends() -> RuleSet:
    return RuleSet([rule for rule in rules().rules if not rule.pattern.is_at_end])


def merged(pieces: Sequence[Piece]) -> list[Piece]:
    """The pieces without the borders of chunks."""
    result: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, str) and result and isinstance(result[-1], str):
            result[-1] += piece
        elif piece != "":
            result.append(piece)
    return result


def cut(text: str, borders: Sequence[int]) -> list[str]:
    marks = sorted({0, len(text), *(border % (len(text) + 1) for border in borders)})
    return [text[begin:end] for begin, end in pairwise(marks)]


def streamed(stream: Stream, chunks: Sequence[str]) -> list[Piece]:
    return [piece for chunk in chunks for piece in stream.push(chunk)] + list(stream.finish())


texts = st.text("abc é炸弹", max_size=24)
borders = st.lists(st.integers(0, 40), max_size=12)


@given(text=texts, borders=borders)
@settings(max_examples=examples(300), deadline=None)
def test_chunks_give_the_pieces_of_the_whole_text(text: str, borders: list[int]) -> None:
    whole = merged(list(pieces_of(Scanner(rules()), text)))
    assert merged(streamed(Scanner(rules()), cut(text, borders))) == whole
    assert "".join(piece.text if isinstance(piece, Hit) else piece for piece in whole) == text


@given(found=st.lists(texts, max_size=4), has_ends=st.booleans())
@settings(max_examples=examples(200), deadline=None)
def test_several_texts_are_searched_together_and_no_match_is_missed(found: list[str], has_ends: bool) -> None:
    searched = rules() if has_ends else rules_without_ends()
    hits = [piece for text in found for piece in pieces_of(Scanner(searched), text) if isinstance(piece, Hit)]
    assert not (hits and searched.match_none_of(found))


@given(text=texts)
@settings(max_examples=examples(200), deadline=None)
def test_what_is_held_back_is_no_longer_than_the_longest_pattern(text: str) -> None:
    scanner = Scanner(rules())
    for character in text:
        list(scanner.push(character))
        assert len(scanner.held()) <= rules().width + 1


def test_only_what_could_begin_a_match_is_held_back() -> None:
    scanner = Scanner(RuleSet([Rule("phrase", parse_phrase("secret plan"))]))
    assert "".join(map(str, scanner.push("the secretary sits by the s"))) == "the secretary sits by the "
    assert "".join(map(str, scanner.push("ecret p"))) == ""
    assert "".join(map(str, scanner.push("ie"))) == "secret pie"
    assert scanner.held() == ""


def test_the_first_and_then_the_longest_match_counts() -> None:
    overlapping = RuleSet([Rule("short", parse("ab")), Rule("long", parse("abcd")), Rule("later", parse("bcdefgh"))])
    assert list(filter(None, pieces_of(Scanner(overlapping), "abcdefgh"))) == [Hit("long", "abcd"), "efgh"]


@pytest.mark.parametrize("count", [2_000, 4_000])
def test_an_expression_that_explodes_elsewhere_takes_linear_time(count: int) -> None:
    # Python's re needs 2^n steps for this one.
    bomb = RuleSet([Rule("bomb", parse("(?:a?){30}a{30}b"))])
    assert "".join(str(piece) for piece in pieces_of(Scanner(bomb), "a" * count)) == "a" * count


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("a+", "more than 5,000 characters"),
        ("a*", "matches the empty text"),
        (r"(a)\1", "linear time"),
        ("a(?=b)", "linear time"),
        (r"a\bb", "in the middle"),
        ("(", "isn't one"),
        (r"[\Wa]", "among other characters"),
    ],
)
def test_what_cannot_be_matched_on_streams_is_refused(expression: str, complaint: str) -> None:
    with pytest.raises(BadRequest, match=complaint):
        parse(expression)


@given(text=st.text("ab-1 ", max_size=12))
@settings(max_examples=examples(200), deadline=None)
def test_matches_are_those_of_pythons_own_expressions(text: str) -> None:
    import re

    for expression in (r"\ba{1,3}\b", "a[^b-]{2}", "(?:a|b1){2}", r"\d\s?b", "(?i:AB|-)1{1,2}"):
        found = [
            piece.text
            for piece in pieces_of(Scanner(RuleSet([Rule("x", parse(expression))])), text)
            if isinstance(piece, Hit)
        ]
        assert found == re.findall(expression, text), expression


PARTS = [
    "see ", "joe.doe@mail.example.com", "4111 1111 1111 1111", "4111-1111", " +49 30 901820", "DE89370400440532013000",
    "11010519491231002X", "，手机13812345678。", "2001:db8::7334", "born 12 May 1985", "AKIAIOSFODNN7EXAMPLE", "AKIA",
    "password = \"x9Lq02mZ\"", "ghp_0123456789abcdefghijABCDEFGHIJ012345", "-----BEGIN PRIVATE KEY-----\nMIIE\n",
    "-----END PRIVATE KEY-----", "\n", "plain words, ", "48.8584, 2.2945", "https://bob:s3cr3tpw@host/ ", "é", "7",
]  # fmt: skip


@cache
def policy(action: str) -> Policy:
    guardrails = [{"guardrail": "pii", "action": action}, {"guardrail": "secrets", "action": action}]
    return open_policy("all", 1, {"output": [*guardrails, {"guardrail": "max_length", "characters": 150}]})


def screened(screen: ChannelScreen, chunks: Sequence[str]) -> str:
    return "".join([screen.push(chunk) for chunk in chunks]) + screen.finish()


@given(parts=st.lists(st.sampled_from(PARTS), max_size=8), borders=borders, action=st.sampled_from(["mask", "block"]))
@settings(max_examples=examples(120), deadline=None)
def test_verdicts_and_texts_do_not_depend_on_the_chunks(parts: list[str], borders: list[int], action: str) -> None:
    text = "".join(parts)
    outcomes: list[Any] = []
    for chunks in ([text], cut(text, borders), list(text)):
        screening = Screening([policy(action)])
        screen = screening.open_channel()
        passed = screened(screen, chunks)
        # A guardrail before the one that blocks may have seen, and found, more in the same chunk.
        outcomes.append((passed, screen.is_blocked, set() if screen.is_blocked else set(screening.findings)))
    assert outcomes[0] == outcomes[1] == outcomes[2]
    if action == "block" and outcomes[0][1]:
        assert text.startswith(outcomes[0][0])


def test_not_even_the_beginning_of_a_blocked_text_leaves() -> None:
    for secret in (
        "AKIAIOSFODNN7EXAMPLE",
        "joe.doe@mail.example.com",
        "4111 1111 1111 1111",
        "DE89 3704 0044 0532 0130 00",
    ):
        screen = Screening([policy("block")]).open_channel()
        assert screened(screen, list(f"It is ({secret}), I think.")) == "It is ("
        assert screen.is_blocked


def test_a_border_is_a_letter_of_latin_script_only_where_it_should_be() -> None:
    pattern: Pattern = parse("x[0-9]{3}", left=LATIN, right=LATIN)
    found = [
        list(filter(None, pieces_of(Scanner(RuleSet([Rule("x", pattern)])), text)))
        for text in ("码x123。", "ax123", "x1234")
    ]
    assert found == [["码", Hit("x", "x123"), "。"], ["ax123"], ["x1234"]]
