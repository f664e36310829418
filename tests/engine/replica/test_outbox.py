"""A replica sends all events, in order, and several steps together if there are many streams."""

import pytest

from llmos.engine.messages import Delta, EngineStats, Failed, Started
from llmos.engine.replica.outbox import FEW_STREAMS, HOLD_SECONDS, Outbox

BUSY = EngineStats(
    num_running=1, num_waiting=0, num_free_blocks=1, num_preemptions=0, num_steps=1, num_prompt_tokens=1,
    num_output_tokens=1,
)  # fmt: skip


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def outbox(clock):
    return Outbox(clock)


def step(number, streams=FEW_STREAMS, **fields):
    return [
        Delta(id=f"r{i}", text=f"{number} ", token_ids=[number], num_output_tokens=number, **fields)
        for i in range(streams)
    ]


def test_few_streams_get_every_token_at_once(outbox):
    for number in range(1, 5):
        deltas = step(number, FEW_STREAMS - 1)
        assert outbox.add(deltas, is_last=False) == deltas


def test_many_streams_get_several_steps_together(outbox, clock):
    assert outbox.add(step(1), is_last=False) == step(1), "the first token of an answer never waits"
    assert outbox.add(step(2), is_last=False) == []
    assert outbox.add(step(3), is_last=False) == []
    clock.now += HOLD_SECONDS
    sent = outbox.add(step(4), is_last=False)
    assert [(d.id, d.text, d.token_ids, d.num_output_tokens) for d in sent] == [
        (f"r{i}", "2 3 4 ", [2, 3, 4], 4) for i in range(FEW_STREAMS)
    ]


def test_a_last_delta_flushes_all_held_ones(outbox):
    outbox.add(step(1), is_last=False)
    assert outbox.add(step(2), is_last=False) == []
    end = Delta(id="r0", text="3", token_ids=[3], num_output_tokens=3, finish_reason="stop")
    sent = outbox.add([end], is_last=False)
    assert [(d.id, d.text, d.finish_reason) for d in sent] == [("r0", "2 3", "stop")] + [
        (f"r{i}", "2 ", None) for i in range(1, FEW_STREAMS)
    ]


def test_other_events_are_never_held(outbox):
    outbox.add(step(1), is_last=False)
    assert outbox.add([*step(2), BUSY], is_last=False) == []
    sent = outbox.add([Started("new", 3)], is_last=False)
    assert sent == [Started("new", 3), *step(2), BUSY]


def test_nothing_is_held_if_no_step_follows(outbox):
    outbox.add(step(1), is_last=False)
    assert outbox.add([*step(2), BUSY], is_last=True) == [*step(2), BUSY]


def test_held_deltas_of_an_aborted_request_are_discarded(outbox):
    outbox.add(step(1), is_last=False)
    outbox.add(step(2), is_last=False)
    outbox.forget("r1")
    assert outbox.add([], is_last=True) == [delta for delta in step(2) if delta.id != "r1"]


def test_held_deltas_of_a_failed_request_precede_its_failure(outbox):
    failure = Failed("r0", "internal_error", "broken")
    outbox.add([*step(1), *step(1, 1, index=1)], is_last=False)
    assert outbox.add([*step(2), *step(2, 1, index=1)], is_last=False) == []
    sent = outbox.add([*step(3, 1), failure], is_last=False)
    assert [(d.index, d.text) for d in sent[:2]] == [(0, "2 3 "), (1, "2 ")]
    assert sent[2:] == [failure, *step(2)[1:]]
    assert outbox.add(step(1, 1), is_last=False) == step(1, 1), "who takes its id begins anew"


def test_started_deltas_and_failed_of_one_step_are_in_order(outbox):
    outbox.add(step(1), is_last=False)
    events = [Started("new", 3), Delta(id="new", text="1 ", token_ids=[1]), Failed("new", "internal_error", "broken")]
    assert outbox.add([*step(2), *events], is_last=False) == [*events, *step(2)]


def test_a_reused_id_gets_its_first_token_at_once(outbox):
    outbox.add(step(1), is_last=False)
    outbox.add(step(2, finish_reason="length"), is_last=False)
    assert outbox.add(step(1), is_last=False) == step(1)


def test_started_precedes_the_first_delta(outbox):
    events = [Started("r0", 3), *step(1, 1)]
    assert outbox.add(events, is_last=False) == events
