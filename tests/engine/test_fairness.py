"""Fairness, counted in steps: no request waits for ever, and callers get equal shares of the tokens."""

import msgspec
import pytest

from llmos.core.errors import BadRequest
from llmos.engine.scheduling.fair_queue import STEPS_PER_PRIORITY
from support.fakes import FakeRunner, continuation, generate, make_engine, tokens_of


def ask(engine, id, tokens=(1, 2, 3), caller="", priority=0, **sampling):
    engine.submit(msgspec.structs.replace(generate(id, tokens, **sampling), caller=caller, priority=priority))


def watch(engine, num_steps=None):
    """Step until all is done, or `num_steps` times; return {id: step of its first token}, {id: step of its last}."""
    first, last = {}, {}
    step = 0
    while engine.has_work and step != num_steps:
        step += 1
        for event in engine.step():
            first.setdefault(event.id, step)
            if event.finish_reason:
                last[event.id] = step
        engine.check_invariants()
    return first, last


def test_a_caller_with_a_hundred_requests_does_not_hold_up_another_with_one():
    engine = make_engine(max_sequences=4)
    for i in range(100):
        ask(engine, f"greedy {i}", [i + 1] * 20, caller="greedy", max_tokens=10)
    watch(engine, 15)
    ask(engine, "modest", caller="modest", max_tokens=10)
    first, last = watch(engine)
    assert first["modest"] <= 3
    assert last["modest"] <= 13
    assert max(last.values()) > 200


def test_a_caller_whose_answers_have_no_end_does_not_hold_up_another():
    engine = make_engine(max_sequences=4)
    for i in range(8):
        ask(engine, f"greedy {i}", [i + 1] * 20, caller="greedy", max_tokens=200)
    watch(engine, 5)
    ask(engine, "modest", caller="modest", max_tokens=10)
    first, last = watch(engine)
    assert first["modest"] <= 3, "one of the greedy sequences is preempted at once"
    assert last["modest"] <= 13
    assert engine.load().num_preemptions == 1
    assert len(last) == 9


@pytest.mark.thorough
@pytest.mark.parametrize("prefix_cache", [True, False])
def test_nothing_is_preempted_for_a_caller_that_was_served_more(prefix_cache):
    """It would go behind the preempted one in the queue, so the two would displace each other again and again."""
    runner = FakeRunner(num_blocks=256, max_positions=1024)
    engine = make_engine(runner, max_sequences=3, max_draft_tokens=0, prefix_cache=prefix_cache)
    for i in range(3):
        ask(engine, f"a{i}", [i + 1] * 10, caller="a", max_tokens=500)
    watch(engine, 4)
    ask(engine, "long", [7] * 700, caller="b", max_tokens=20)
    watch(engine, 30)
    ask(engine, "short", [8] * 10, caller="b", max_tokens=2)
    first, last = watch(engine)
    assert len(last) == 4
    assert first["short"] <= 700 / 3 + 10, "when the other was given as much"
    assert engine.load().num_preemptions <= 2
    assert runner.num_positions <= 3 * 510 + 720 + 12 + (2 * 16 if prefix_cache else 2 * 250)


def test_a_preempted_sequence_produces_a_token_before_it_is_preempted_again():
    engine = make_engine(max_sequences=2, max_batched_tokens=64, max_prefill_tokens=32, prefix_cache=False)
    for i in range(2):
        ask(engine, f"a{i}", [i + 1] * 200, caller="a", max_tokens=30)
    watch(engine, 12)
    order = []
    for name in ("b", "c", "d"):
        ask(engine, name, caller=name, max_tokens=1)
        while name not in order:
            order += [event.id for event in engine.step() if event.id != "a0"]
        engine.step()
    assert engine.load().num_preemptions == 3
    assert "a1" in order[order.index("b") : order.index("c")]
    assert "a1" in order[order.index("c") : order.index("d")]


def test_the_only_running_sequence_of_a_caller_is_not_preempted():
    engine = make_engine(max_sequences=2)
    for name in "abc":
        ask(engine, name, caller=name, max_tokens=30)
    first, _ = watch(engine)
    assert engine.load().num_preemptions == 0
    assert first["c"] == 31


def test_a_higher_priority_is_not_preempted():
    engine = make_engine(max_sequences=2)
    for i in range(2):
        ask(engine, f"high {i}", caller="high", max_tokens=30, priority=1)
    ask(engine, "low", caller="low")
    first, _ = watch(engine)
    assert first["low"] == 31


def test_callers_get_equal_shares_of_tokens_not_of_requests():
    engine = make_engine(max_sequences=1)
    for i in range(12):
        ask(engine, f"long {i}", caller="long", max_tokens=30)
        ask(engine, f"short {i}", caller="short", max_tokens=7)
    _, last = watch(engine, 12 * 20)
    served = {caller: sum(id.startswith(caller) for id in last) for caller in ("long", "short")}
    assert served["short"] == 12
    # A request of "long" is 32 tokens and one of "short" 9: while both wait, one of the first goes for each 3.5.
    assert served["long"] <= 7


def test_an_idle_caller_earns_no_credit():
    engine = make_engine(max_sequences=1)
    for i in range(20):
        ask(engine, f"steady {i}", caller="steady", max_tokens=10)
    watch(engine, 100)
    for i in range(20):
        ask(engine, f"new {i}", caller="new", max_tokens=10)
    _, last = watch(engine, 100)
    done = [id.split()[0] for id in last]
    assert abs(done.count("steady") - done.count("new")) <= 2


def test_new_callers_do_not_delay_a_much_served_one_for_ever():
    """Every request has a caller of its own, each served less than the old one, and the queue is never empty."""
    engine = make_engine(max_sequences=1)
    ask(engine, "long", [7] * 400, caller="old", max_tokens=1)
    for i in range(4):
        ask(engine, f"early {i}", caller=f"early {i}", max_tokens=1)
    engine.step()
    ask(engine, "old", caller="old", max_tokens=1)
    first, most = {}, 0
    for step in range(400):
        ask(engine, f"fresh {step}", [step % 200 + 1] * 20, caller=f"fresh {step}", max_tokens=1)
        for event in engine.step():
            first.setdefault(event.id, step)
        engine.check_invariants()
        assert engine.load().num_waiting >= 4, "none waits"
        most = max(most, len(engine._scheduler.waiting._accounts))
    # It is 400 tokens ahead; the six callers together catch up by 20 tokens in each step.
    assert 100 < first["old"] <= 6 * 400 / 20
    assert most < 30, "accounts of callers who left are dropped"


def test_service_that_nobody_waited_for_does_not_count_later():
    engine = make_engine(max_sequences=2)
    ask(engine, "beside", caller="other", max_tokens=200)
    ask(engine, "long", [7] * 300, caller="busy", max_tokens=20)
    watch(engine, 30)
    for i in range(6):
        for caller in ("new", "busy"):
            ask(engine, f"{caller} {i}", caller=caller, max_tokens=10)
    first, _ = watch(engine)
    assert sorted(first, key=first.get)[1:5] == ["new 0", "busy 0", "new 1", "busy 1"]


def test_recomputed_tokens_are_not_charged_again():
    engine = make_engine(FakeRunner(num_blocks=8, max_positions=128), max_sequences=4)
    for i in range(4):
        ask(engine, f"r{i}", [i + 1] * 20, caller="a", max_tokens=60)
    account = engine._scheduler.waiting._accounts["a"]
    watch(engine)
    assert engine.load().num_preemptions > 0
    assert account.service == 4 * 79, "the last token of an answer is never computed"


def test_the_higher_priority_goes_first():
    engine = make_engine(max_sequences=1)
    for name, priority in [("low", -1), ("usual", 0), ("high", 5)]:
        ask(engine, name, priority=priority)
    first, _ = watch(engine)
    assert sorted(first, key=first.get) == ["high", "usual", "low"]


def test_a_low_priority_rises_while_it_waits():
    engine = make_engine(max_sequences=1)
    ask(engine, "low", priority=0)
    answered = []
    for step in range(STEPS_PER_PRIORITY * 6):
        if step % 8 == 0:
            ask(engine, f"high {step}", caller="high", priority=3)
        answered += [event.id for event in engine.step() if event.finish_reason]
        if "low" in answered:
            break
    assert answered[-1] == "low"
    assert STEPS_PER_PRIORITY * 3 <= step <= STEPS_PER_PRIORITY * 3 + 16


def test_one_of_a_long_waiting_crowd_goes_before_a_higher_priority():
    """Waiting raises a priority as a whole, which falls back when one of its sequences is taken."""
    engine = make_engine(max_sequences=1)
    ask(engine, "first", priority=1, max_tokens=STEPS_PER_PRIORITY + 2)
    engine.step()
    for i in range(10):
        ask(engine, f"low {i}", caller=f"low {i}")
    watch(engine, STEPS_PER_PRIORITY + 1)
    for i in range(3):
        ask(engine, f"high {i}", priority=1, caller="high")
    first, _ = watch(engine)
    order = [id.split()[0] for id in sorted(first, key=first.get)]
    assert order == ["low", "high", "high", "high"] + ["low"] * 9


BACKGROUND = -100


def test_a_background_sequence_is_preempted_for_a_new_request():
    """At once, and even if the new request's caller has others running."""
    engine = make_engine(max_sequences=4)
    for i in range(8):
        ask(engine, f"batch {i}", [i + 1] * 20, caller="batch", priority=BACKGROUND, max_tokens=100)
    watch(engine, 5)
    for i in range(3):
        ask(engine, f"live {i}", caller="live", max_tokens=20)
    first, last = watch(engine)
    assert max(first[f"live {i}"] for i in range(3)) <= 6
    assert max(last[f"live {i}"] for i in range(3)) <= 26
    assert len(last) == 11


def test_background_sequences_are_preempted_for_the_blocks_of_new_requests():
    engine = make_engine(FakeRunner(num_blocks=12, max_positions=128), max_sequences=8)
    for i in range(4):
        ask(engine, f"batch {i}", [i + 1] * 20, caller="batch", priority=BACKGROUND, max_tokens=60)
    watch(engine, 20)
    for i in range(2):
        ask(engine, f"live {i}", [9] * 40, caller="live", max_tokens=10)
    first, last = watch(engine)
    assert max(first[f"live {i}"] for i in range(2)) <= 8
    assert len(last) == 6


def test_background_sequences_skip_most_steps_beside_others():
    runner = FakeRunner(num_blocks=256, max_positions=1024)
    engine = make_engine(runner, max_draft_tokens=0)
    for i in range(16):
        ask(engine, f"batch {i}", [i + 1] * 10, caller="batch", priority=BACKGROUND, max_tokens=200)
    watch(engine, 20)
    before = runner.num_positions
    ask(engine, "live", caller="live", max_tokens=80)
    first, last = watch(engine, 80 + 1)
    assert (first["live"], last["live"]) == (1, 80), "a token in every step"
    assert runner.num_positions - before <= 82 + 16 * (80 / 8 + 2), "in which it is mostly alone"
    _, last = watch(engine)
    assert len(last) == 16, "and the background goes on"


def test_background_sequences_advance_beside_long_running_ones():
    engine = make_engine(max_sequences=4)
    ask(engine, "live", caller="live", max_tokens=400)
    ask(engine, "batch", caller="batch", priority=BACKGROUND, max_tokens=10)
    _, last = watch(engine)
    assert last["batch"] <= 8 * 11


def test_running_in_the_background_does_not_change_an_answer():
    engine = make_engine(max_sequences=2)
    ask(engine, "batch", [5, 6, 7], caller="batch", priority=BACKGROUND, max_tokens=40)
    ask(engine, "batch too", [5, 6, 7, 8], caller="batch", priority=BACKGROUND, max_tokens=40)
    events = [event for _ in range(10) for event in engine.step()]
    ask(engine, "live", [1, 2], caller="live", max_tokens=30)
    while engine.has_work:
        events += engine.step()
    for name, prompt in [("batch", [5, 6, 7]), ("batch too", [5, 6, 7, 8])]:
        assert tokens_of(event for event in events if event.id == name) == continuation(prompt, 40)


@pytest.mark.parametrize("priority", [-101, 101, 10**9])
def test_a_priority_out_of_range_is_refused(priority):
    with pytest.raises(BadRequest, match=f"priority is {priority}; it takes a whole number from -100 to 100") as error:
        ask(make_engine(), "r", priority=priority)
    assert error.value.param == "priority"


def test_a_short_prompt_is_not_held_up_by_a_long_one():
    engine = make_engine(FakeRunner(max_positions=1024), max_batched_tokens=64, max_sequences=8)
    ask(engine, "long", [7] * 900, max_tokens=1)
    ask(engine, "short", [8] * 30, max_tokens=1)
    engine.step()
    ask(engine, "shorter", [9] * 20, max_tokens=1)
    first, _ = watch(engine)
    assert first["shorter"] == 1
    assert first["long"] == 14, "and no step computes less than it may"


def test_long_prompts_are_computed_one_after_another():
    engine = make_engine(max_batched_tokens=64)
    for i in range(3):
        ask(engine, f"r{i}", [i + 1] * 128, max_tokens=1)
    first, _ = watch(engine)
    assert first == {"r0": 2, "r1": 4, "r2": 6}


def test_a_long_prompt_advances_beside_any_number_of_short_ones():
    engine = make_engine(FakeRunner(max_positions=1024), max_batched_tokens=64, max_sequences=8)
    ask(engine, "long", [7] * 900, max_tokens=1)
    events = []
    for step in range(40):
        for i in range(3):
            ask(engine, f"short {step} {i}", [step + 1, i] * 10, max_tokens=1)
        events += engine.step()
        if any(event.id == "long" for event in events):
            break
    assert step < 900 / 32 + 1


def test_prompts_take_part_of_a_step_while_others_decode_and_else_all_of_it():
    runner = FakeRunner()
    engine = make_engine(runner, max_batched_tokens=64, max_prefill_tokens=16, max_sequences=4)
    ask(engine, "decodes", max_tokens=6)
    engine.step()
    ask(engine, "prompt", [2] * 60, max_tokens=1)
    watch(engine)
    ask(engine, "alone", [3] * 100, max_tokens=1)
    watch(engine)
    assert [n for _, n in runner.batch_sizes] == [3, 17, 17, 17, 13, 1, 64, 36]


def test_the_sequence_that_loses_least_is_preempted():
    engine = make_engine(FakeRunner(num_blocks=10, max_positions=160), max_sequences=3)
    ask(engine, "old", [1] * 40, max_tokens=60)
    ask(engine, "short", [2] * 10, max_tokens=60)
    ask(engine, "long", [3] * 40, max_tokens=60)
    running = engine._scheduler.running
    while engine.load().num_preemptions == 0:
        engine.step()
    assert {sequence.request_id for sequence in running} == {"old", "long"}, "not the youngest"


def test_a_preempted_sequence_resumes_with_its_cached_blocks():
    runner = FakeRunner()
    engine = make_engine(runner, max_sequences=2)
    ask(engine, "a", [1] * 50, caller="a", max_tokens=40)
    ask(engine, "b", [2] * 50, caller="a", max_tokens=40)
    engine.step()
    ask(engine, "c", [3] * 10, caller="c", max_tokens=1)
    events = []
    while engine.has_work:
        events += engine.step()
    assert engine.load().num_preemptions == 1
    assert runner.num_positions <= 2 * (50 + 39) + 10 + 16
    assert tokens_of([event for event in events if event.id == "b"])[-5:] == continuation([2] * 50, 40)[-5:]
