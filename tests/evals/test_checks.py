"""Checks: when each holds, its opposite, and what it says."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from sacrebleu.metrics import CHRF

from llmos.evals.answers import Answer, ToolCall
from llmos.evals.checks import Finding, Subject, read_check
from llmos.evals.checks.check import Unchecked
from llmos.evals.checks.chrf import chrf

CALL = ToolCall(name="get_order", arguments={"id": "7", "fast": True})


def find(name: str, value: Any, **answer: Any) -> Finding:
    [check] = read_check(name, value, "here")
    return check.find(Subject(answer=Answer(**answer)))


@pytest.mark.parametrize(
    ("name", "value", "answer", "text"),
    [
        ("equals", "Paris", {"text": " Paris\n"}, "it is 'Paris'"),
        ("equals", 4, {"text": "4"}, "it is '4'"),
        ("contains", "PARIS", {"text": "It is Paris."}, "it contains 'PARIS'"),
        ("starts_with", "it", {"text": "  It is."}, "it starts with 'it'"),
        ("matches", "^[A-Z]+$", {"text": "ABC"}, "it matches '^[A-Z]+$'"),
        ("json_schema", {"type": "object", "required": ["a"]}, {"text": '{"a": 1}'}, "it follows the schema"),
        ("tool_called", "get_order", {"tool_calls": [CALL]}, "it calls get_order"),
        ("tool_called", {"name": "get_order", "arguments": {"id": "7"}}, {"tool_calls": [CALL]}, "it calls get_order"),
        ("cites", True, {"documents": ["a.md"]}, "it has citations"),
        ("cites", "a.md", {"documents": ["a.md", "b.md"]}, "it cites a.md"),
        ("abstains", True, {"abstained": True}, "it abstains"),
        ("max_tokens", 5, {"num_output_tokens": 5}, "it has 5 tokens (5 are allowed)"),
        ("latency", 2, {"seconds": 1.5}, "it took 1.50 s (2 s are allowed)"),
        ("cost", "0.01", {"cost": "0.002"}, "it cost 0.002 (0.01 is allowed)"),
        ("chrf", {"reference": "Guten Morgen", "at_least": 0.9}, {"text": "Guten Morgen"}, "is 1.00"),
    ],
)
def test_a_check_holds_and_its_opposite_does_not(name: str, value: Any, answer: dict[str, Any], text: str) -> None:
    found = find(name, value, **answer)
    assert found.holds
    assert text in found.text
    assert find(f"not_{name}", value, **answer) == Finding(False, found.text)


@pytest.mark.parametrize(
    ("name", "value", "answer", "text"),
    [
        ("equals", "Paris", {"text": "paris"}, "it isn't 'Paris'"),
        ("contains", "Rome", {"text": "Paris"}, "it lacks 'Rome'"),
        ("json_schema", {"type": "object"}, {"text": "{"}, "it isn't JSON"),
        ("json_schema", {"properties": {"a": {"type": "string"}}}, {"text": '{"a": 1}'}, "/a: 1 is not of type"),
        ("tool_called", "get_order", {"tool_calls": [ToolCall(name="other")]}, "but other"),
        ("tool_called", {"name": "get_order", "arguments": {"id": "8"}}, {"tool_calls": [CALL]}, "with {'id': '7'"),
        ("cites", True, {}, "it has no citations"),
        ("max_tokens", 5, {"num_output_tokens": 6}, "it has 6 tokens"),
        ("cost", 0.001, {"cost": "0.002"}, "it cost 0.002"),
    ],
)
def test_a_check_that_does_not_hold_says_why(name: str, value: Any, answer: dict[str, Any], text: str) -> None:
    found = find(name, value, **answer)
    assert not found.holds
    assert text in found.text


def test_a_regular_expression_that_would_backtrack_for_ever_ends() -> None:
    assert not find("matches", r"^(a|a)*\1$", text="a" * 40 + "!").holds


def test_chrf_is_the_f2_score_of_the_mean_precision_and_recall() -> None:
    assert chrf("the cat sat on the mat", "the cat sat on the mat") == 1
    assert chrf("", "a") == chrf("x", "y") == 0
    assert chrf("abc", "abd") == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)  # n-grams of 1, 2 and 3 characters
    precision, recall = (3 / 3 + 2 / 2 + 1 / 1) / 3, (3 / 4 + 2 / 3 + 1 / 2) / 3
    assert chrf("a bc", "abcd") == pytest.approx(5 * precision * recall / (4 * precision + recall))
    assert chrf("你好世界", "你好，世界") == pytest.approx(
        CHRF().sentence_score("你好世界", ["你好，世界"]).score / 100
    )


class Helped:
    """Answers for a model: texts of one letter are alike, and the last option is the likeliest."""

    async def embed(self, model: str, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        return [[1.0, 0.0] if text.startswith("a") else [0.0, 1.0] for text in texts]

    async def likelihood(self, case: Subject, options: Sequence[str]) -> Sequence[float]:
        return [-5.0] * (len(options) - 1) + [-1.0]

    async def judge(self, name: str, case: Subject) -> Finding:
        return Finding("please" in case.answer.text, f"{name} says so")

    async def run_python(self, program: str) -> str:
        return "line 4 fails" if "'x'" in program else ""


@pytest.mark.parametrize(
    ("name", "value", "text", "holds", "says"),
    [
        ("similar", {"to": "apple", "at_least": 0.8, "model": "m"}, "avocado", True, "similarity with 'apple' is 1.00"),
        ("similar", {"to": "apple", "at_least": 0.8, "model": "m"}, "pear", False, "is 0.00 (0.8 is needed)"),
        ("similar", {"to": "apple", "at_least": 0.8, "model": "m"}, "", False, "it is empty"),
        ("likelihood", {"options": [" no", " yes"], "best": " yes"}, "", True, "the likeliest option is ' yes'"),
        ("not_likelihood", {"options": [" yes", " no"], "best": " yes"}, "", True, "' no'"),
        ("judge", "polite", "Do it, please.", True, "polite says so"),
        ("python", "assert answer == 'x'", "y", False, "line 4 fails"),
        ("python", "assert 1 < len(answer)", "yy", True, "the program holds"),
    ],
)
def test_checks_that_ask(name: str, value: Any, text: str, holds: bool, says: str) -> None:
    [check] = read_check(name, value, "here")
    found = asyncio.run(check.ask(Subject(answer=Answer(text=text), input="i", helpers=Helped())))
    assert found.holds == holds
    assert says in found.text


def test_a_check_that_asks_is_refused_where_nobody_can_be_asked() -> None:
    [check] = read_check("judge", "polite", "here")
    with pytest.raises(Unchecked):
        asyncio.run(check.ask(Subject(answer=Answer(text="x"))))
