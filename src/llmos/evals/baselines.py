"""Baselines: how many cases pass without any model, by an answer that is the same for all, or repeats the input.

A suite of which half the cases pass so is worth half of what its share seems to say.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from llmos.evals.answers import Answer
from llmos.evals.checks import Check, Subject
from llmos.evals.suites import Case, Suite

Trivial = Callable[[Case], Answer]

_NUM_CONSTANTS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Baseline:
    name: str
    passed: frozenset[str]
    """The ids of cases that it passes."""
    judged: frozenset[str]
    """The ids of cases whose checks ask no model and run no program."""

    @classmethod
    def best_of(cls, suite: Suite) -> "Baseline":
        """Return the trivial answer that passes most cases; of equal ones, the first."""
        judged = [case for case in suite.cases if _is_judged(case)]
        found = [
            cls(
                name=name,
                passed=frozenset(case.id for case in judged if _passes(case, answer(case))),
                judged=frozenset(case.id for case in judged),
            )
            for name, answer in _trivial_answers(suite)
        ]
        return max(found, key=lambda each: len(each.passed))


def _trivial_answers(suite: Suite) -> list[tuple[str, Trivial]]:
    answers: list[tuple[str, Trivial]] = [
        ("the input as the answer", lambda case: Answer(text=_text(case))),
        ("always abstaining", lambda case: Answer(abstained=True)),
    ]
    expected = Counter(text for case in suite.cases for check in case.checks if (text := _constant(check)) is not None)
    for text, _ in expected.most_common(_NUM_CONSTANTS):
        # Its text is a person's, and would be in what is kept of the run in the clear.
        answers.append(("always the same answer", lambda case, text=text: Answer(text=text)))  # type: ignore[misc]
    return answers


def _constant(check: Check) -> str | None:
    """Return the text that a check asks for."""
    if check.negated:
        return None
    if check.kind.name in ("equals", "contains", "starts_with"):
        return str(check.value)
    return str(check.value.best) if check.kind.name == "likelihood" else None


def _is_judged(case: Case) -> bool:
    return all(check.kind.asks is None or check.kind.name == "likelihood" for check in case.checks)


def _passes(case: Case, answer: Answer) -> bool:
    subject = Subject(answer=answer, input=case.input, expected=case.expected, variables=case.variables)
    total = sum(check.weight for check in case.checks)
    held = sum(check.weight for check in case.checks if _holds(check, subject))
    return held >= case.threshold * total - 1e-9


def _holds(check: Check, subject: Subject) -> bool:
    if check.kind.name == "likelihood":
        is_best: bool = subject.answer.text == check.value.best
        return is_best != check.negated
    return check.find(subject).holds


def _text(case: Case) -> str:
    return case.input if isinstance(case.input, str) else msgspec.json.encode(case.input).decode()
