"""Results of other threads reach the tasks that wait for them, together and whatever became of them."""

import asyncio
from concurrent.futures import Future

import pytest

from llmos.core.handover import Handover

pytestmark = pytest.mark.anyio


async def waiting(
    handover: Handover, *futures: "Future[int]", seconds: float | None = None
) -> list["asyncio.Task[int]"]:
    tasks = [asyncio.create_task(handover.result(each, seconds)) for each in futures]
    await asyncio.sleep(0)
    return tasks


async def test_what_a_thread_has_done_wakes_all_tasks_with_one_call_of_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    futures: list[Future[int]] = [Future() for _ in range(5)]
    tasks = await waiting(Handover(), *futures)
    loop, calls = asyncio.get_running_loop(), []
    call_soon_threadsafe = loop.call_soon_threadsafe

    def counted(*args: object, **more: object) -> object:
        calls.append(args)
        return call_soon_threadsafe(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
    for number, future in enumerate(futures):
        future.set_result(number)
    assert await asyncio.gather(*tasks) == [0, 1, 2, 3, 4]
    assert len(calls) == 1


async def test_a_thread_and_tasks_that_come_and_go_miss_nothing() -> None:
    handover = Handover()

    async def ask(number: int) -> int:
        future: Future[int] = Future()
        asyncio.get_running_loop().run_in_executor(None, future.set_result, number)
        return await handover.result(future)

    assert await asyncio.gather(*map(ask, range(300))) == list(range(300))


async def test_an_error_is_raised_and_a_result_that_is_there_needs_no_waiting() -> None:
    failed: Future[int] = Future()
    failed.set_exception(ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        await Handover().result(failed)
    later: Future[int] = Future()
    (task,) = await waiting(Handover(), later)
    later.set_exception(ValueError("later"))
    with pytest.raises(ValueError, match="later"):
        await task


async def test_what_has_not_begun_is_cancelled_with_its_task_and_what_runs_is_not() -> None:
    handover, begun, not_begun = Handover(), Future[int](), Future[int]()
    begun.set_running_or_notify_cancel()
    tasks = await waiting(handover, begun, not_begun)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert not_begun.cancelled()
    assert not begun.cancelled()
    begun.set_result(1)  # Nobody waits any more.
    (other,) = await waiting(handover, future := Future[int]())
    future.set_result(2)
    assert await other == 2


async def test_a_task_waits_no_longer_than_it_says() -> None:
    slow: Future[int] = Future()
    slow.set_running_or_notify_cancel()
    (task,) = await waiting(Handover(), slow, seconds=0.0)
    with pytest.raises(TimeoutError):
        await task
    slow.set_result(1)


def test_one_serves_a_loop_after_another() -> None:
    handover = Handover()

    async def ask(number: int) -> int:
        (task,) = await waiting(handover, future := Future[int]())
        future.set_result(number)
        return await task

    assert [asyncio.run(ask(number)) for number in range(3)] == [0, 1, 2]
