"""The streams of a call are closed together, whatever closing them does."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

import pytest

from llmos.gateway.calls.closing import Contexts, Streams

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


@asynccontextmanager
async def entered(name: str, seen: list[str], does: str) -> AsyncGenerator[str, None]:
    """Write down with what it is left, and raise another error or take the one that comes."""
    try:
        yield name
        seen.append(f"{name}: ended")
    except Exception as error:
        seen.append(f"{name}: {error}")
        if does == "pass on":
            raise
    if does == "raise":
        raise KeyError(name)


@pytest.mark.parametrize("first", ["pass on", "take", "raise"])
@pytest.mark.parametrize("second", ["pass on", "take", "raise"])
@pytest.mark.parametrize("body_fails", [False, True])
async def test_contexts_are_left_as_those_of_an_exit_stack(first: str, second: str, *, body_fails: bool) -> None:
    outcomes = []
    for make, name in ((Contexts, "enter"), (AsyncExitStack, "enter_async_context")):
        seen: list[str] = []
        try:
            async with make() as contexts:
                enter = getattr(contexts, name)
                assert await enter(entered("first", seen, first)) == "first"
                assert await enter(entered("second", seen, second)) == "second"
                if body_fails:
                    raise ValueError("body")
        except Exception as error:
            seen.append(f"raised: {error!r}")
        outcomes.append(seen)
    assert outcomes[0] == outcomes[1]
