"""Cases: questions with the document or the quote that answers them, or with nothing if the documents don't.

{"input": "How long is the guarantee?", "expected": {"document": "guarantee.pdf", "quote": "two years"}}
{"input": "Who won the match?", "expected": null}
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from llmos.core.errors import BadRequest
from llmos.data.datasets.contents import CaseContent
from llmos.data.datasets.rows import Row

MAX_CASES = 20_000


class Expected(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The expected answer to a question. Either part may be missing, but not both."""

    document: str | None = None
    """The name of a document."""
    quote: str | None = None
    """Its words, in any document if none is named."""


class KnowledgeCase(msgspec.Struct, frozen=True, kw_only=True):
    question: str
    expected: Expected | None = None
    """None: the documents don't answer it."""


def read_cases(rows: Iterable[Row]) -> list[KnowledgeCase]:
    """Return the cases of a dataset, each question once. Raises BadRequest naming the row that isn't one."""
    cases: dict[str, KnowledgeCase] = {}
    for row in rows:
        case = _case(row)
        if cases.setdefault(case.question, case).expected != case.expected:
            raise BadRequest(f"The question {_shown(case.question)} is there twice, with different answers.")
        if len(cases) > MAX_CASES:
            raise BadRequest(f"There are more than {MAX_CASES:,} questions. Take a sample of them.")
    if not cases:
        raise BadRequest("There are no cases. Import rows with `input` and `expected` first.")
    return list(cases.values())


def _case(row: Row) -> KnowledgeCase:
    if row.kind != "case":
        raise BadRequest(
            f"Rows of the kind {row.kind} are no questions to evaluate with. Import a dataset of the kind case:"
            ' {"input": "the question", "expected": {"document": "NAME", "quote": "…"}}, or null as `expected` for a'
            " question that the documents don't answer."
        )
    content: CaseContent = row.content
    question = content.input if isinstance(content.input, str) else _last_of_user(content)
    if not question.strip():
        raise BadRequest(f"The row {row.id[:12]} ({row.origin or 'no origin'}) has no question.")
    return KnowledgeCase(question=question.strip(), expected=_expected(content.expected, question))


def _last_of_user(content: CaseContent) -> str:
    messages = [each for each in content.input if not isinstance(each, str) and each.role == "user"]
    last = messages[-1].content if messages else None
    return last if isinstance(last, str) else ""


def _expected(value: Any, question: str) -> Expected | None:
    if value is None:
        return None
    where = f"`expected` of the question {_shown(question)}"
    try:
        expected = msgspec.convert(value, Expected)
    except msgspec.ValidationError as error:
        raise BadRequest(
            f'{where} is wrong: {error}. It is {{"document": "NAME", "quote": "…"}} with either or both, or null.'
        ) from None
    if not (expected.document or (expected.quote or "").strip()):
        raise BadRequest(f"{where} names neither a document nor a quote. Send null if the documents don't answer it.")
    return expected


def _shown(question: str) -> str:
    return f"{question.strip()[:80]!r}"
