"""The streams of a call are closed together, whatever closing them does."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager

import pytest

from llmos.gateway.calls.closing import Streams

pytestmark = pytest.mark.anyio


async def numbers(name: str, closed: list[str], error: BaseException | None = None) -> AsyncGenerator[int, None]:
    try:
        yield 1
        yield 2
    finally:
        closed.append(name)
        if error is not None:
            raise error


@contextmanager
def held(name: str, closed: list[str]) -> Iterator[None]:
    yield
    closed.append(name)


async def test_the_last_stream_is_closed_first_and_what_was_held_after_all() -> None:
    closed: list[str] = []
    streams = Streams()
    streams.hold(held("room", closed))
    for name in ("first", "second"):
        assert await anext(streams.add(numbers(name, closed))) == 1
    await streams.close()
    assert closed == ["second", "first", "room"]
    await streams.close()
    assert len(closed) == 3


async def test_what_has_ended_and_what_can_not_be_closed_is_left_alone() -> None:
    closed: list[str] = []
    streams = Streams()
    assert [number async for number in streams.add(numbers("ended", closed))] == [1, 2]
    streams.add(Endless())
    await streams.close()
    assert closed == ["ended"]


class Endless:
    """Has no aclose()."""

    def __aiter__(self) -> "Endless":
        return self

    async def __anext__(self) -> int:
        raise StopAsyncIteration


async def test_one_that_fails_keeps_no_other_open() -> None:
    closed: list[str] = []
    streams = Streams()
    streams.hold(held("room", closed))
    for name, error in (("first", None), ("broken", ValueError("broken")), ("last", None)):
        await anext(streams.add(numbers(name, closed, error)))
    with pytest.raises(ValueError, match="broken"):
        await streams.close()
    assert closed == ["last", "broken", "first", "room"]
