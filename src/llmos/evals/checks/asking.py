"""Checks that ask a model or run a program: similar, likelihood, judge, python."""

import json
from collections.abc import Sequence
from math import sqrt
from typing import Any, NamedTuple

from llmos.evals.checks.check import Finding, Kind, Subject, fields_of, number_of, shown, text_of


class _Similar(NamedTuple):
    to: str
    at_least: float
    model: str


def _read_similar(value: Any) -> _Similar:
    fields = fields_of(value, {"to": "It takes two days.", "at_least": "0.8", "model": "minilm"})
    return _Similar(text_of(fields["to"]), number_of(fields["at_least"], least=-1, most=1), text_of(fields["model"]))


async def _similar(value: _Similar, subject: Subject) -> Finding:
    if not subject.answer.text.strip():
        return Finding(False, "it is empty")
    one, other = await subject.help.embed(value.model, [value.to, subject.answer.text])
    cosine = _cosine(one, other)
    text = f"its similarity with {shown(value.to, 40)} is {cosine:.2f} ({value.at_least:g} is needed)"
    return Finding(cosine >= value.at_least, text)


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    lengths = sqrt(sum(x * x for x in one)) * sqrt(sum(x * x for x in other))
    return sum(x * y for x, y in zip(one, other, strict=True)) / lengths if lengths else 0.0


class _Likelihood(NamedTuple):
    options: Sequence[str]
    best: str


def _read_likelihood(value: Any) -> _Likelihood:
    fields = fields_of(value, {"options": '[" yes", " no"]', "best": '" yes"'})
    options = fields["options"]
    if not isinstance(options, list) or len(options) < 2 or len({*map(str, options)}) < len(options):
        raise ValueError("needs two or more different `options`")
    options = [text_of(each) for each in options]
    if fields["best"] not in options:
        raise ValueError(f"has the best option {shown(fields['best'], 40)}, which isn't among its options")
    return _Likelihood(options, fields["best"])


async def _likelihood(value: _Likelihood, subject: Subject) -> Finding:
    scores = await subject.help.likelihood(subject, value.options)
    best = value.options[max(range(len(scores)), key=lambda i: scores[i])]
    return Finding(best == value.best, f"the likeliest option is {shown(best, 40)}")


async def _judge(value: str, subject: Subject) -> Finding:
    return await subject.help.judge(value, subject)


def _read_python(value: Any) -> str:
    program = text_of(value)
    try:
        compile(program, "<check>", "exec")
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"is no Python: {error}") from None
    if "assert" not in program:
        raise ValueError("has no `assert`, so that it holds for every answer")
    return program


async def _python(value: str, subject: Subject) -> Finding:
    names = {"answer": subject.answer.text, "input": subject.input, "expected": subject.expected}
    given = "\n".join(
        f"{name} = __import__('json').loads({json.dumps(json.dumps(each))})" for name, each in names.items()
    )
    fault = await subject.help.run_python(f"{given}\n{value}")
    return Finding(not fault, fault or "the program holds")


ASKING = [
    Kind(name="similar", read=_read_similar, asks=_similar),
    Kind(name="likelihood", read=_read_likelihood, asks=_likelihood),
    Kind(name="judge", read=text_of, asks=_judge),
    Kind(name="python", read=_read_python, asks=_python),
]
