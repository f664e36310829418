"""Versions that run because they are asked for: started once, ended when nobody asks, and at most a few at a time."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest

from llmos.core.errors import AppFailed, Unavailable
from llmos.data.apps.deployments import AppDeployment
from llmos.gateway.hosted_apps.asked_versions import MAX_ASKED, AskedVersions
from llmos.gateway.hosted_apps.process import Continuing

pytestmark = pytest.mark.anyio


@dataclass
class Process:
    """A process that lives until it is ended."""

    ref: str
    num_runs: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait(self) -> int:
        await self.ended.wait()
        return 0

    async def drain(self) -> None:
        self.ended.set()

    kill = drain


@dataclass
class Room:
    """Asked versions whose processes a test sees."""

    fault: str = ""
    idle_seconds: float = 0.0
    processes: list[Process] = field(default_factory=list)
    continuing: list[Continuing] = field(default_factory=list)
    ending: list["asyncio.Task[None]"] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.asked = AskedVersions(self._start, self._keep, idle_seconds=self.idle_seconds)

    async def _start(self, wanted: AppDeployment, continuing: Continuing) -> Any:
        if self.fault:
            raise AppFailed(self.fault)
        self.continuing.append(continuing)
        self.processes.append(Process(wanted.ref))
        return self.processes[-1]

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        self.ending.append(asyncio.create_task(work))

    async def close(self) -> None:
        for host in self.asked.take():
            await host.kill()
        await asyncio.gather(*self.ending)


async def test_a_version_is_started_once_and_ends_when_nobody_asks() -> None:
    room = Room()
    process: Any = await room.asked.host("acme", "support", 3).ready(9)
    assert process.ref == "support@3"
    assert await room.asked.host("acme", "support", 3).ready(9) is process
    await process.wait()
    assert (len(room.processes), len(room.asked)) == (1, 0)
    await room.close()


async def test_one_that_is_asked_stays() -> None:
    room = Room()
    process: Any = await room.asked.host("acme", "support", 3).ready(9)
    process.num_runs = 1
    for _ in range(20):
        await asyncio.sleep(0)
    assert not process.ended.is_set()
    process.num_runs = 0
    await process.wait()
    await room.close()


async def test_it_continues_no_runs_of_the_deployed_version() -> None:
    room = Room()
    await room.asked.host("acme", "support", 3).ready(9)
    assert room.continuing[0].after_seconds > 365 * 86_400
    await room.close()


async def test_who_asks_one_that_does_not_start_is_told_at_once() -> None:
    room = Room(fault="support@3 doesn't start: no key", idle_seconds=60)
    with pytest.raises(AppFailed, match="no key"):
        await room.asked.host("acme", "support", 3).ready(60)
    await room.close()


async def test_an_idle_one_makes_room_and_busy_ones_do_not() -> None:
    room = Room(idle_seconds=60)
    for number in range(MAX_ASKED):
        await room.asked.host("acme", "support", number).ready(9)
    await room.asked.host("acme", "support", 99).ready(9)
    assert (len(room.asked), room.asked.runs("acme", "support", 0)) == (MAX_ASKED, False)
    for process in room.processes:
        process.num_runs = 1
    with pytest.raises(Unavailable, match="are being evaluated"):
        room.asked.host("acme", "support", 100)
    await room.close()
