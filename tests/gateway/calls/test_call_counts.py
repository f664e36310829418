"""Every admitted call is counted once, and ends in one of three ways."""

import asyncio
from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from llmos.core.errors import Overloaded, ReplicaFailed
from llmos.gateway.calls.call import ModelCall
from llmos.gateway.calls.call_counts import CallCounts, Calls
from llmos.gateway.calls.record import Recorder
from llmos.security.callers import owner

VERSION = "m@1"
CALL = ModelCall(model="m", caller=owner())


def run(recorder: Recorder, error: BaseException | None) -> None:
    """Record a call that is admitted, and ends with the error."""
    with suppress(BaseException), recorder.open(CALL, "generate") as record, recorder.attempt(record, "m") as attempt:
        attempt.replica_ref = VERSION
        recorder.admitted(record, attempt)
        if error is not None:
            raise error


def test_every_admitted_call_ends_as_answered_failed_or_cancelled() -> None:
    counts = CallCounts()
    for error in (None, ReplicaFailed("It died."), RuntimeError(), asyncio.CancelledError(), GeneratorExit()):
        run(Recorder([counts]), error)
    assert counts.of(VERSION) == Calls(accepted=5, answered=1, failed=2, cancelled=2)


def test_a_call_without_room_is_rejected_and_not_accepted() -> None:
    counts = CallCounts()
    recorder = Recorder([counts])
    with suppress(Overloaded), recorder.open(CALL, "generate") as record, recorder.attempt(record, "m") as attempt:
        attempt.replica_ref = VERSION
        raise Overloaded("There is no room.")
    assert counts.of(VERSION) == Calls(rejected=1)


@given(st.lists(st.sampled_from(["enter", "answer", "fail", "cancel"]), max_size=60))
def test_accepted_is_the_sum_of_the_others_at_any_moment(course: list[str]) -> None:
    counts = CallCounts()
    recorder = Recorder([counts])
    running: list[Any] = []
    for step in course:
        if step == "enter":
            opened = recorder.open(CALL, "generate")
            record = opened.__enter__()
            attempted = recorder.attempt(record, "m")
            attempt = attempted.__enter__()
            attempt.replica_ref = VERSION
            recorder.admitted(record, attempt)
            running.append((opened, attempted))
        elif running:
            opened, attempted = running.pop(0)
            error = {"answer": None, "fail": ValueError(), "cancel": asyncio.CancelledError()}[step]
            for each in (attempted, opened):
                with suppress(BaseException):
                    each.__exit__(type(error) if error else None, error, None)
        calls = counts.of(VERSION)
        assert calls.accepted == calls.answered + calls.failed + calls.cancelled + calls.running
        assert calls.running == len(running)
