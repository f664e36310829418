"""Attempt: one try at a case, and what its checks found. Attempts are what a run keeps."""

from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct

from llmos.evals.answers import Answer

JUDGE_PREFIX = "judge:"
"""The name in place of a model in attempts at the labelled answers of a judge."""


class AttemptKey(NamedTuple):
    model: str
    case: str
    repeat: int


class CheckResult(Struct, frozen=True, kw_only=True):
    name: str
    holds: bool
    text: str
    weight: float = 1.0


class Attempt(Struct, frozen=True, kw_only=True, omit_defaults=True):
    model: str
    case: str
    repeat: int = 0
    answer: Answer | None = None
    checks: Sequence[CheckResult] = ()
    passed: bool | None = None
    """None: it is an error, and neither passed nor failed."""
    error: str = ""

    @property
    def key(self) -> AttemptKey:
        return AttemptKey(self.model, self.case, self.repeat)
