"""ReceiptSink: makes the receipt of every answer.

A call only hands over what is known of it. A thread computes the hashes, signs, and stores the receipts of a moment
together, so that no answer waits for it.
"""

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from llmos.core.clock import Clock, utc_now
from llmos.gateway.calls.record import Attempt, Record, Sink
from llmos.security.receipts.hashes import (
    hash_of_body,
    hash_of_choices,
    hash_of_logprobs,
    hash_of_scores,
    hash_of_vectors,
)
from llmos.security.receipts.receipts import PRUNE_SECONDS, Receipts

if TYPE_CHECKING:
    from llmos.gateway.calls.embedding import Embeddings
    from llmos.gateway.calls.output import Output
    from llmos.gateway.calls.rating import Ratings

_log = logging.getLogger(__name__)

GROUP_SECONDS = 0.25
"""Receipts are stored after this time at the latest."""

MAX_WAITING = 10_000
"""While the database can't be written, the receipts beyond that are lost, and the log says so."""

_SAFE_INTEGER = 2**53 - 1

_SETTINGS = (
    "max_tokens", "min_tokens", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "presence_penalty",
    "frequency_penalty", "seed", "n", "ignore_eos",
)  # fmt: skip
"""The settings that a receipt shows. Stop strings and biases of tokens are part of the hashed input."""


@dataclass(frozen=True, slots=True)
class _Draft:
    """The facts of an ended call, from which its receipt is made."""

    fields: dict[str, Any]
    body: bytes
    output: "Output | None"
    embeddings: "Embeddings | None"
    ratings: "Ratings | None"


class ReceiptSink(Sink):
    """on_closed belongs to the event loop's thread; any thread may use the rest."""

    def __init__(self, receipts: Receipts, *, clock: Clock = utc_now) -> None:
        self._receipts, self._clock = receipts, clock
        self._waiting: list[_Draft] = []
        self._changed = threading.Condition()
        self._is_writing = self._is_hurried = self._is_closed = False
        self._num_lost = 0
        self._thread: threading.Thread | None = None

    def on_closed(self, record: Record) -> None:
        if not _has_answer(record):
            return
        fields, body = _fields(record, self._clock()), record.caller.request_body
        draft = _Draft(fields, body, record.output, record.embeddings, record.ratings)
        with self._changed:
            if len(self._waiting) >= MAX_WAITING:
                self._num_lost += 1
                return
            self._waiting.append(draft)
            if self._thread is None and not self._is_closed:
                self._thread = threading.Thread(target=self._write_all, name="receipts", daemon=True)
                self._thread.start()
            if len(self._waiting) == 1:
                self._changed.notify_all()

    def flush(self) -> None:
        """Return when the receipts so far are stored."""
        with self._changed:
            self._is_hurried = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._is_closed or not (self._waiting or self._is_writing))

    def close(self) -> None:
        """Store what waits, and end the thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _write_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._waiting) or self._is_closed, PRUNE_SECONDS)
                # Wait for others to come. Most calls end alone; a flush asks for them now.
                self._changed.wait_for(lambda: self._is_closed or self._is_hurried, GROUP_SECONDS)
                drafts, self._waiting = self._waiting, []
                self._is_writing, self._is_hurried = True, False
                is_last, num_lost, self._num_lost = self._is_closed, self._num_lost, 0
            if num_lost:
                _log.error("%d receipts are lost: the database could not be written for too long", num_lost)
            self._write(drafts)
            with self._changed:
                self._is_writing = False
                self._changed.notify_all()
            if is_last:
                return

    def _write(self, drafts: list[_Draft]) -> None:
        try:
            if drafts:
                self._receipts.add([_document(draft) for draft in drafts])
            self._receipts.remove_old_if_due()
        except Exception:
            _log.exception("%d receipts can't be stored", len(drafts))


def _has_answer(record: Record) -> bool:
    """Return whether a model has begun to answer, or a guardrail blocked the prompt."""
    if record.shadow_of is not None or record.operation == "count":
        return False
    is_blocked = record.screening is not None and record.screening.has_blocked
    return is_blocked or any(attempt.is_accepted for attempt in record.attempts)


def _fields(record: Record, now: datetime) -> dict[str, Any]:
    last = record.attempts[-1] if record.attempts else None
    served = None if last is None else last.served
    return {
        "id": record.id,
        "request_id": record.caller.request_id,
        "project": record.caller.project,
        "key_id": record.caller.key_id,
        "began_at": _time(record.opened_at),
        "ended_at": _time(now),
        "operation": record.operation,
        "outcome": record.outcome,
        "error": record.error_code,
        "model": record.model.encode(errors="replace").decode(),
        "route": record.route,
        "version": None if last is None else last.version,
        "digest": None if served is None else served.digest,
        "quantization": None if served is None else served.quantization,
        "runner": None if served is None else "native" if served.number is not None else "provider",
        "guardrails": _guardrails(record),
        "price_version": None,
        "usage": {
            "prompt_tokens": sum(attempt.num_prompt_tokens for attempt in record.attempts),
            "cached_tokens": sum(attempt.num_cached_tokens for attempt in record.attempts),
            "completion_tokens": sum(attempt.num_completion_tokens for attempt in record.attempts),
        },
        "sampling": None if last is None else _sampling(last),
    }


def _guardrails(record: Record) -> Mapping[str, Any]:
    if record.screening is None:
        return {"policies": [], "findings": []}
    names = ("policy", "guardrail", "rule", "side", "verdict")
    return {
        "policies": [
            {"name": each.name, "version": each.version, "digest": each.digest} for each in record.screening.policies
        ],
        "findings": [{name: getattr(found, name) for name in names} for found in record.screening.findings],
    }


def _sampling(attempt: Attempt) -> dict[str, Any] | None:
    """Return the settings that were used. A provider gets those that the caller gave, and has its own defaults."""
    if attempt.sampling is None:
        return None
    is_remote = attempt.served is not None and attempt.served.number is None
    names = [name for name in _SETTINGS if not is_remote or name in (*attempt.given, "n", "seed", "max_tokens")]
    settings = {name: getattr(attempt.sampling, name) for name in names}
    # JSON in many languages has no larger numbers.
    return {
        name: str(value) if isinstance(value, int) and abs(value) > _SAFE_INTEGER else value
        for name, value in settings.items()
    }


def _document(draft: _Draft) -> dict[str, Any]:
    """Return the receipt, without its signature."""
    return {**draft.fields, "input": hash_of_body(draft.body), "output": _output(draft)}


def _output(draft: _Draft) -> dict[str, Any]:
    embeddings, output = draft.embeddings, draft.output
    if embeddings is not None:
        is_compared = embeddings.call.num_queries is not None
        return hash_of_scores(embeddings.scores()) if is_compared else hash_of_vectors(embeddings.vectors)
    if draft.ratings is not None:
        return hash_of_logprobs(draft.ratings.logprobs(), draft.ratings.prompt_logprobs())
    if output is None:
        return {"of": "choices", "sha256": None, "finish_reasons": []}
    return {**hash_of_choices(output.choices()), "finish_reasons": output.finish_reasons()}


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
