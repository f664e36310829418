"""Live updates: only what changed, one look for all who may see the same, and no longer than each of them may."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from llmos.console.live import RELOAD, Feeds, Memory
from llmos.console.page import Fragments
from llmos.core.errors import Conflict, LLMOSError, Unauthenticated, Unavailable

pytestmark = pytest.mark.anyio


class Page:
    """A page that shows what a test says, or fails."""

    def __init__(self, **shown: str) -> None:
        self.shown: dict[str, str] = shown
        self.error: LLMOSError | None = None
        self.num_looks = 0

    async def look(self, memory: Memory) -> Fragments:
        self.num_looks += 1
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return dict(self.shown)


@pytest.fixture
def feeds() -> Feeds:
    return Feeds(interval=0)


async def read(chunks: AsyncGenerator[bytes, None]) -> str:
    return (await anext(chunks)).decode()


async def test_a_reader_gets_everything_once_and_then_what_changes(feeds: Feeds) -> None:
    page = Page(one="1\n1", two="2")
    chunks = feeds.read("key", page.look)
    first = await read(chunks)
    assert first == (
        'data: <hx-partial hx-target="#one" hx-swap="innerMorph">1\ndata: 1</hx-partial>'
        '<hx-partial hx-target="#two" hx-swap="innerMorph">2</hx-partial>\n\n'
    )
    page.shown["two"] = "3"
    assert await read(chunks) == 'data: <hx-partial hx-target="#two" hx-swap="innerMorph">3</hx-partial>\n\n'
    await chunks.aclose()


async def test_readers_of_one_key_share_the_looks_and_each_is_asked(feeds: Feeds) -> None:
    page, other = Page(one="1"), Page(one="1")
    chunks, more = feeds.read("key", page.look), feeds.read("key", other.look)
    assert await read(chunks) == await read(more)
    page.shown["one"] = other.shown["one"] = "2"
    assert await read(chunks) == await read(more)
    other.error = Unauthenticated("The session has ended.")
    assert (await read(more)).encode() == RELOAD
    with pytest.raises(StopAsyncIteration):
        await read(more)
    page.shown["one"] = "3"
    assert "3" in await read(chunks)
    await chunks.aclose()


async def test_looks_end_with_the_last_reader(feeds: Feeds) -> None:
    page = Page(one="1")
    chunks = feeds.read("key", page.look)
    await read(chunks)
    await chunks.aclose()
    num_looks = page.num_looks
    for _ in range(20):
        await asyncio.sleep(0)
    assert page.num_looks == num_looks
    again = feeds.read("key", page.look)
    assert "1" in await read(again)
    await again.aclose()


async def test_a_failed_look_is_followed_by_another(feeds: Feeds) -> None:
    page = Page(one="1")
    page.error = Conflict("The database is busy.")
    chunks = feeds.read("key", page.look)
    reading = asyncio.create_task(read(chunks))
    while page.num_looks < 3:
        await asyncio.sleep(0)
    page.error = None
    assert "1" in await reading
    await chunks.aclose()


async def test_a_server_that_stops_ends_the_stream(feeds: Feeds) -> None:
    page = Page(one="1")
    chunks = feeds.read("key", page.look)
    await read(chunks)
    page.error = Unavailable("The server is shutting down.")
    with pytest.raises(StopAsyncIteration):
        await read(chunks)


async def test_many_pages_are_looked_at_less_often() -> None:
    feeds = Feeds(interval=0.001)
    assert feeds._interval() == 0.001
    readers = [feeds.read(number, Page(one="1").look) for number in range(8)]
    for each in readers:
        await read(each)
    assert feeds._interval() == 4
    for each in readers:
        await each.aclose()
    assert feeds._interval() == 0.001
