"""Items that tasks hand over are written in groups, and each task learns what became of its own."""

import asyncio
import threading

import pytest

from llmos.core.group_writer import GroupWriter

pytestmark = pytest.mark.anyio


class Disk:
    """Writes when it may."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.began, self.may_write = threading.Event(), threading.Event()
        self.error: Exception | None = None

    def write(self, group: list[int]) -> None:
        self.began.set()
        assert self.may_write.wait(60)
        self.groups.append(group)
        if self.error is not None and len(self.groups) == 2:
            raise self.error


async def write_five(disk: Disk) -> list["asyncio.Task[None]"]:
    """Hand over one item, and four more while it is being written."""
    writer = GroupWriter(disk.write)
    tasks = [asyncio.create_task(writer.write(0))]
    await asyncio.to_thread(disk.began.wait)
    tasks += [asyncio.create_task(writer.write(number)) for number in range(1, 5)]
    await asyncio.sleep(0)
    return tasks


async def test_what_arrives_during_a_write_is_written_together() -> None:
    disk = Disk()
    tasks = await write_five(disk)
    disk.may_write.set()
    await asyncio.gather(*tasks)
    assert disk.groups == [[0], [1, 2, 3, 4]]


async def test_all_of_a_group_that_fails_are_told_and_the_next_one_is_written() -> None:
    disk = Disk()
    disk.error = OSError("The disk is full.")
    tasks = await write_five(disk)
    disk.may_write.set()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert ended == [None, *[disk.error] * 4]


async def test_one_that_no_longer_waits_is_not_written_and_hurts_no_other() -> None:
    disk = Disk()
    tasks = await write_five(disk)
    tasks[2].cancel()
    disk.may_write.set()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in ended] == [type(None), type(None), asyncio.CancelledError, type(None), type(None)]
    assert disk.groups == [[0], [1, 3, 4]]
