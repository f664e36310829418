"""A step uses its whole budget and never more, and starts no sequence that would be preempted at once."""

from llmos.engine.scheduling import scheduler
from llmos.engine.scheduling.scheduler import split_prefill
from support.fakes import FakeRunner, continuation, generate, make_engine, tokens_of


class Prompt:
    """The attributes of a sequence that split_prefill() uses."""

    def __init__(self, arrival, left, priority=0):
        self.arrival, self.priority = arrival, priority
        self.tokens, self.num_computed = [0] * (left + 5), 5


def shares(room, *prompts):
    prompts = [
        Prompt(i, *prompt) if isinstance(prompt, tuple) else Prompt(i, prompt) for i, prompt in enumerate(prompts)
    ]
    return list(split_prefill(prompts, room).values())


def test_prompts_that_fit_are_computed_whole():
    assert shares(64, 10, 20, 30) == [10, 20, 30]


def test_prompts_of_equal_length_are_computed_in_order_of_arrival():
    assert shares(64, 32, 32, 32) == [32, 32, 0]
    assert shares(64, 100, 100) == [64, 0]


def test_half_of_the_budget_is_for_the_prompts_nearest_to_their_first_token():
    assert shares(64, 900, 300, 20) == [32, 12, 20]
    assert shares(64, 900, 40, 20) == [32, 12, 20]
    assert shares(65, 900, 20) == [45, 20]


def test_a_higher_priority_takes_that_half_first():
    assert shares(64, 900, 20, (500, 1)) == [32, 0, 32]


def test_the_oldest_prompt_always_advances():
    assert shares(1, 900, 1) == [1, 0]
    assert shares(0, 900) == [0]


def test_the_queue_is_first_come_first_served():
    engine = make_engine(max_sequences=1, max_batched_tokens=64)
    for name in "abc":
        engine.submit(generate(name, max_tokens=2))
    order = []
    while engine.has_work:
        order += [event.id for event in engine.step()]
    assert order == ["a", "a", "b", "b", "c", "c"]


def test_a_new_sequence_waits_until_it_would_not_be_preempted_at_once():
    runner = FakeRunner(num_blocks=4, max_positions=64)
    engine = make_engine(runner)
    engine.submit(generate("first", [1] * 30, max_tokens=4))
    engine.submit(generate("second", [2] * 30, max_tokens=4))
    events = []
    while engine.has_work:
        events += engine.step()
    assert engine.load().num_preemptions == 0
    assert tokens_of([e for e in events if e.id == "second"]) == continuation([2] * 30, 4)


def test_drafts_leave_half_of_the_budget_to_prompts():
    runner = FakeRunner()
    runner.logits = lambda tokens: [9.0 if i == len(tokens) % 4 + 1 else 0.0 for i in range(260)]
    engine = make_engine(runner, max_batched_tokens=13, max_sequences=3)
    engine.submit(generate("drafts", [1, 2, 3, 4] * 3, max_tokens=40))
    while max(n for _, n in runner.batch_sizes or [(0, 0)]) < 8 or engine._scheduler.waiting:
        engine.step()
    engine.submit(generate("prompt", [7] * 60, max_tokens=1))
    runner.batch_sizes.clear()
    engine.step()
    [(_, num_tokens)] = runner.batch_sizes
    assert num_tokens == 13
    prompt = engine._scheduler.running[-1]
    assert prompt.num_computed >= 6


def test_many_waiting_sequences_that_get_nothing_are_skipped_quickly(monkeypatch):
    engine = make_engine(FakeRunner(num_blocks=256, max_positions=1024), max_batched_tokens=64, max_sequences=8)
    for i in range(40):
        engine.submit(generate(f"r{i}", [i + 1] * 300, max_tokens=1))
    calls = []
    monkeypatch.setattr(scheduler, "split_prefill", lambda *args: calls.append(args) or split_prefill(*args))
    engine.step()
    assert len(engine._scheduler.running) == 1
    assert len(calls) <= 3
