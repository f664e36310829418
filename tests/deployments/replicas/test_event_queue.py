"""Deltas that wait together reach the reader as one, and nothing else changes."""

import asyncio
from collections.abc import Sequence

from llmos.deployments.replicas.event_queue import EventQueue
from llmos.engine.messages import Delta, Event, Failed, Started, TokenLogprob, ToolCallDelta


def read(*events: Event | None) -> list[Event | None]:
    """Return what a reader gets who comes when all of these wait."""

    async def drain() -> list[Event | None]:
        queue = EventQueue()
        for event in events:
            queue.put(event)
        found: list[Event | None] = []
        while queue.is_waiting:
            found.append(await queue.get())
        return found

    return asyncio.run(drain())


def said(events: Sequence[Event | None]) -> list[str]:
    return [event.reasoning + event.text for event in events if isinstance(event, Delta)]


def test_a_slow_reader_gets_the_deltas_of_several_steps_as_one() -> None:
    entry = TokenLogprob(1, "a", b"a", -0.5)
    first = Delta(id="r", text="a", token_ids=[1], logprobs=[entry], num_output_tokens=1, num_cached_tokens=3)
    last = Delta(id="r", text="b", token_ids=[2], num_output_tokens=2, finish_reason="stop", stop_reason=2)
    assert read(Started("r", 5), first, last) == [
        Started("r", 5),
        Delta(
            id="r", text="ab", token_ids=[1, 2], logprobs=[entry], num_output_tokens=2, num_cached_tokens=3,
            finish_reason="stop", stop_reason=2,
        ),
    ]  # fmt: skip


def test_a_reader_who_keeps_up_gets_each_delta() -> None:
    async def take_turns() -> list[str]:
        queue = EventQueue()
        reading = [asyncio.create_task(queue.get())]
        for text in ("a", "b"):
            await asyncio.sleep(0)
            queue.put(Delta(id="r", text=text))
            await reading[-1]
            reading.append(asyncio.create_task(queue.get()))
        reading.pop().cancel()
        return said([await each for each in reading])

    assert asyncio.run(take_turns()) == ["a", "b"]


def test_what_would_change_the_order_or_the_pieces_of_calls_stays_apart() -> None:
    text, reasoning = Delta(id="r", text="a"), Delta(id="r", reasoning="b")
    call = Delta(id="r", tool_calls=[ToolCallDelta(0, arguments="{")])
    other = Delta(id="r", index=1, text="c")
    assert read(text, reasoning, call, call, other, text) == [text, reasoning, call, call, other, text]
    assert said(read(reasoning, text, text)) == ["baa"]


def test_an_error_and_the_end_of_the_connection_come_after_what_was_said() -> None:
    failed = Failed("r", "bad_request", "no")
    events = read(Delta(id="r", text="a"), Delta(id="r", text="b"), failed, None)
    assert said(events) == ["ab"]
    assert events[1:] == [failed, None]
