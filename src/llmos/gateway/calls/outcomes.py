"""What became of a call at one target, noted as evidence; and whose fault it was."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from llmos.core.errors import BadModelFile, LLMOSError, ModelNotFound, UnsupportedModel
from llmos.deployments.rollouts.evidence import Evidence, Kind, Outcome
from llmos.deployments.routing.route import Route
from llmos.gateway.calls.answer import Answer


def is_targets_fault(error: LLMOSError) -> bool:
    """Return whether the same call may well do better elsewhere: what is wrong with it itself is wrong everywhere."""
    is_of_the_model = isinstance(error, BadModelFile | UnsupportedModel | ModelNotFound)
    return error.status >= 500 or error.status == 429 or is_of_the_model


@dataclass(slots=True)
class Note:
    """What is known of the call so far."""

    version: str = ""
    answer: Answer | None = None


@contextmanager
def noted(evidence: Evidence, route: Route | None, target: str) -> Iterator[Note]:
    """Note how the body ends, where the call came through a route."""
    note, began = Note(target), time.perf_counter()
    kind: Kind = "failed"
    error: str | None = "internal_error"
    try:
        yield note
        kind, error = "answered", None
    except LLMOSError as raised:
        kind, error = "failed" if is_targets_fault(raised) else "refused", raised.code
        raise
    except (asyncio.CancelledError, GeneratorExit):
        kind, error = "cancelled", None
        raise
    finally:
        if route is not None:
            seconds = time.perf_counter() - began
            evidence.record(route.name, target, _outcome(note, kind, error, seconds))


def _outcome(note: Note, kind: Kind, error: str | None, seconds: float) -> Outcome:
    pace = None if note.answer is None else note.answer.pace()
    return Outcome(
        kind=kind,
        version=note.version,
        error=error,
        seconds=seconds,
        first_token_seconds=None if pace is None else pace.first_token_seconds,
        tokens_per_second=None if pace is None else pace.tokens_per_second,
        num_tokens=0 if note.answer is None else note.answer.num_completion_tokens,
    )
