"""Periodic work: each task runs at the start and again later, and one that fails stops no other."""

import asyncio

import pytest

from llmos.gateway.jobs.periodic import Periodic

pytestmark = pytest.mark.anyio


async def test_a_task_that_fails_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    ran, pauses = [], []

    def fail() -> None:
        raise RuntimeError("no space")

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await Periodic(fail, lambda: ran.append(True), seconds=600, failure="It failed", pause=pause).run()
    assert ran == [True, True]
    assert pauses == [600, 600]
    assert caplog.messages == ["It failed", "It failed"]
    assert "no space" in caplog.text
