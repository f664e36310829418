"""Record: everything that is known about one call, from its acceptance to its end, and the sinks that receive it.

    Recorder.open(call)   ──▶  Record   ──▶  closed once, however the call ends
        Recorder.attempt  ──▶  Attempt       one for each target that was tried

Sinks today: call counts, metrics, traces, rollout evidence, the log, the audit log and receipts. The ledger is a stage
(ledger_stages.py): answers wait for it.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from llmos.billing.entries import Charge, Charges, Entry, total
from llmos.core.clock import Clock, utc_now
from llmos.core.errors import AppFailed, BadModelFile, InsufficientMemory, LLMOSError, ModelNotFound, UnsupportedModel
from llmos.core.ids import new_id, stable_id
from llmos.deployments.served_model import ServedModel
from llmos.engine.messages import SamplingParams
from llmos.gateway.calls.call import ModelCall
from llmos.security.callers import Caller
from llmos.security.guardrails.screening import Screening

if TYPE_CHECKING:
    from llmos.billing.limits import Limit
    from llmos.billing.reservations import Grant
    from llmos.gateway.calls.embedding import Embeddings
    from llmos.gateway.calls.output import Output
    from llmos.gateway.calls.purchases import RemoteUse
    from llmos.gateway.calls.rating import Ratings
    from llmos.gateway.calls.resolve import Resolution
    from llmos.gateway.calls.tool_calls import CallWarning

_log = logging.getLogger(__name__)

Outcome = Literal["answered", "refused", "failed", "cancelled"]
"""refused: the request itself is wrong. failed: the target could not answer. cancelled: the caller went away."""

Operation = Literal["generate", "embed", "rate", "count"]
"""rate: score texts that are given."""


_FAULTS_OF_MODELS = (AppFailed, BadModelFile, InsufficientMemory, ModelNotFound, UnsupportedModel)


def is_target_fault(error: LLMOSError) -> bool:
    """Return whether another target may well answer the same call. A faulty request is faulty everywhere."""
    is_fault_of_model = isinstance(error, _FAULTS_OF_MODELS)
    return error.status >= 500 or error.status == 429 or is_fault_of_model


@dataclass(frozen=True, kw_only=True, slots=True)
class Timings:
    """The time that an answer has taken so far, by phase, in seconds."""

    total: float
    loading: float
    """The time until the model was loaded; close to zero if it was loaded already."""
    prompt: float
    """The time from then to the first token, including the wait in the queue."""
    answer: float
    """The time from the first token to the last."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The speed at which the tokens of an answer arrived."""

    first_token_seconds: float
    num_later_tokens: int
    """Tokens of the longest choice after its first one."""
    later_seconds: float
    """The time in which those arrived."""

    @property
    def tokens_per_second(self) -> float | None:
        """The rate after the first token. None if no choice has two tokens."""
        has_rate = self.num_later_tokens > 0 and self.later_seconds > 0
        return self.num_later_tokens / self.later_seconds if has_rate else None


@dataclass(slots=True)
class Attempt:
    """One try of a call on one target."""

    target: str
    """The reference as the route writes it."""
    version: str = ""
    """The reference of the model that answers: a version, or a provider's model."""
    replica_ref: str = ""
    """The version whose replicas do the work; another than `version` for adapters."""
    served: ServedModel | None = None
    """The model that is served."""
    sampling: SamplingParams | None = None
    """The settings, with the model's recommendations. None for a call that generates nothing."""
    given: frozenset[str] = frozenset()
    """The settings that the caller gave."""
    is_admitted: bool = False
    is_accepted: bool = False
    """The backend has accepted every prompt."""
    num_prompt_tokens: int = 0
    num_cached_tokens: int = 0
    """The prompt tokens that were found in the prefix cache."""
    num_completion_tokens: int = 0
    longest_completion: int = 0
    """Tokens of the longest choice."""
    num_vectors: int = 0
    num_warnings: int = 0
    """The tool calls whose arguments don't follow their schema."""
    remote: "RemoteUse | None" = None
    """The usage of a provider's model; None for a model of this installation."""
    is_from_cache: bool | None = None
    """True if the answer came from the response cache, so that nothing was computed; None if the cache wasn't used."""
    charge: Charge | None = None
    """The cost, once the entry in the ledger is stored; None if no price applies."""
    loading_seconds: float = 0.0
    began: float = field(default_factory=time.perf_counter)
    queued_seconds: float = 0.0
    """The time that it waited for room in the replica's batch, as the replica says."""
    accepted_at: float | None = None
    first_token_at: float | None = None
    last_token_at: float | None = None
    """Moments on the clock of time.perf_counter."""
    outcome: Outcome | None = None
    """None while it runs."""
    error_code: str | None = None
    seconds: float = 0.0
    """Set at the end."""

    def timings(self) -> Timings:
        now = time.perf_counter()
        first_token_at, last_token_at = self.first_token_at or now, self.last_token_at or self.began
        return Timings(
            total=now - self.began,
            loading=self.loading_seconds,
            prompt=first_token_at - self.began - self.loading_seconds,
            answer=max(0.0, last_token_at - first_token_at),
        )

    def pace(self) -> Pace | None:
        """Return how fast the tokens arrived; None if there was none."""
        if self.first_token_at is None or self.last_token_at is None:
            return None
        return Pace(
            self.first_token_at - self.began,
            max(0, self.longest_completion - 1),
            max(0.0, self.last_token_at - self.first_token_at),
        )


@dataclass(frozen=True, slots=True)
class Metered:
    """The entries of one call in the ledger."""

    entries: Sequence[Entry]
    """One for each attempt that is counted; their lines are the indexes of the attempts."""
    stored: "Future[Charges] | None" = None
    """Done when they are stored. None where there are no entries."""

    def charge(self, wait_seconds: float = 0.0) -> Charge | None:
        """Return what the call costs. None if it costs nothing, no price applies, or it isn't known in this time."""
        if self.stored is None:
            return None
        try:
            charges = self.stored.result(wait_seconds)
        except TimeoutError:
            return None
        return total(charges[each.key] for each in self.entries if each.key in charges)


@dataclass(slots=True)
class Record:
    """One call."""

    id: str
    operation: Operation
    model: str
    """The name that was asked for."""
    caller: Caller
    opened_at: datetime
    shadow_of: str | None = None
    """The id of the call that this one repeats on another target, for comparison. Its answer is discarded."""
    route: str | None = None
    """The route that the name stands for, once it is resolved."""
    resolution: "Resolution | None" = None
    """All that the name stands for."""
    application: str | None = None
    """The application that answers, such as app:support. What its models compute for it are calls with records of their
    own, which have the tokens: whoever adds up tokens leaves this call out."""
    attempts: list[Attempt] = field(default_factory=list)
    screening: Screening | None = None
    """The guardrails of the call, and what they found. None if no policy applies to it."""
    output: "Output | None" = None
    """The output that the caller has received; None if no receipt is made."""
    embeddings: "Embeddings | None" = None
    """The vectors that the caller has received, in a call that embeds; None if no receipt is made."""
    ratings: "Ratings | None" = None
    """The scores that the caller has received, in a call that scores given texts; None if no receipt is made."""
    is_streamed: bool = False
    """The caller gets the answer in pieces."""
    warn: "Callable[[int, Sequence[CallWarning]], None] | None" = None
    """Adds warnings about a choice to the answer; None before there is one."""
    is_reserved: bool = False
    """Limits have a reservation for the call."""
    grant: "Grant | None" = None
    """The tokens that the limits allow the call to use; None if no limit applies."""
    stopped_by: "Limit | None" = None
    """The limit that ended the answer."""
    metered: Metered | None = None
    """The usage that the ledger has or will have for the call; None until it is known."""
    outcome: Outcome | None = None
    """None while it runs."""
    error_code: str | None = None
    began: float = field(default_factory=time.perf_counter)
    held_at: float | None = None
    """When it passed the holds, such as limits."""
    checked_at: float | None = None
    """When it passed the checks, which screen the prompt. Moments on the clock of time.perf_counter."""


class Sink:
    """Receives records. Subclasses override what they need. Called in the event loop's thread; must not block."""

    def on_admitted(self, record: Record, attempt: Attempt) -> None:
        """The attempt may run: admission has room for it."""

    def on_attempt_closed(self, record: Record, attempt: Attempt) -> None:
        """The attempt has ended; its outcome and counts are final."""

    def on_closed(self, record: Record) -> None:
        """The call has ended."""


_EVENTS = ("on_admitted", "on_attempt_closed", "on_closed")


def _overrides(sink: Sink, name: str) -> bool:
    return getattr(type(sink), name, None) is not getattr(Sink, name)


class Recorder:
    """Opens records, closes them, and hands them to the sinks. A sink that fails is logged and fails no call."""

    def __init__(self, sinks: Sequence[Sink] = (), *, clock: Clock = utc_now) -> None:
        self._clock = clock
        self._takers = {name: [sink for sink in sinks if _overrides(sink, name)] for name in _EVENTS}
        """The sinks that take each kind of event."""

    def open(
        self, call: ModelCall, operation: Operation, *, shadow_of: str | None = None
    ) -> AbstractContextManager[Record]:
        """Open a record for as long as the body runs. How the body ends is the record's outcome."""
        record = Record(
            _id(call, shadow_of),
            operation,
            call.model,
            call.caller,
            self._clock(),
            shadow_of,
        )
        return _Opened(self, record)

    def attempt(self, record: Record, target: str) -> AbstractContextManager[Attempt]:
        """Record one try for as long as the body runs."""
        return _Tried(self, record, Attempt(target, version=target))

    def close(self, record: Record, error: BaseException | None) -> None:
        """End a call. `error`: what ended it, if anything did."""
        _end(record, error)
        self._deliver("on_closed", record)

    def close_attempt(self, record: Record, attempt: Attempt, error: BaseException | None) -> None:
        _end(attempt, error)
        attempt.seconds = time.perf_counter() - attempt.began
        self._deliver("on_attempt_closed", record, attempt)

    def admitted(self, record: Record, attempt: Attempt) -> None:
        attempt.is_admitted = True
        self._deliver("on_admitted", record, attempt)

    def _deliver(self, method: str, *event: Any) -> None:
        for sink in self._takers[method]:
            try:
                getattr(sink, method)(*event)
            except Exception:
                _log.exception("%s could not take a record", type(sink).__name__)


class _Opened:
    """See Recorder.open(). Written out, since every call enters it."""

    __slots__ = ("_record", "_recorder")

    def __init__(self, recorder: Recorder, record: Record) -> None:
        self._recorder, self._record = recorder, record

    def __enter__(self) -> Record:
        return self._record

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _traceback: object) -> None:
        self._recorder.close(self._record, error)


class _Tried:
    """See Recorder.attempt(). Written out, since every call enters it."""

    __slots__ = ("_attempt", "_record", "_recorder")

    def __init__(self, recorder: Recorder, record: Record, attempt: Attempt) -> None:
        self._recorder, self._record, self._attempt = recorder, record, attempt

    def __enter__(self) -> Attempt:
        self._attempt.began = time.perf_counter()
        self._record.attempts.append(self._attempt)
        return self._attempt

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _traceback: object) -> None:
        self._recorder.close_attempt(self._record, self._attempt, error)


def _id(call: ModelCall, shadow_of: str | None) -> str:
    if shadow_of is not None:
        return new_id("shadow")
    key = call.caller.call_key
    return stable_id(call.id_prefix, key) if key else new_id(call.id_prefix)


def _end(record: Record | Attempt, error: BaseException | None) -> None:
    """Set the record's outcome from how it has ended."""
    if error is None:
        record.outcome, record.error_code = "answered", None
    elif isinstance(error, LLMOSError):
        record.outcome, record.error_code = "failed" if is_target_fault(error) else "refused", error.code
    elif isinstance(error, asyncio.CancelledError | GeneratorExit):
        record.outcome, record.error_code = "cancelled", None
    else:
        record.outcome, record.error_code = "failed", LLMOSError.code
