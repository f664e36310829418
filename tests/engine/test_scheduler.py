"""Any order of arrivals, steps and departures: the blocks add up, the budget holds, and every answer is right."""

from fakes import FakeRunner, continuation, generate, make_engine, tokens_of
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

BUDGET, MAX_SEQUENCES, NUM_BLOCKS = 24, 5, 10


class Serving(RuleBasedStateMachine):
    """An engine with too few blocks, too small a budget and too few places, and callers who come and go."""

    def __init__(self):
        super().__init__()
        self.runner = FakeRunner(num_blocks=NUM_BLOCKS, max_positions=NUM_BLOCKS * 16)
        self.engine = make_engine(self.runner, max_batched_tokens=BUDGET, max_sequences=MAX_SEQUENCES)
        self.live = {}
        """id -> (prompt, tokens asked for, {index: tokens told})"""
        self.count = 0

    @rule(length=st.integers(1, 90), max_tokens=st.integers(1, 70), n=st.integers(1, 3))
    def submit(self, length, max_tokens, n):
        self.count += 1
        id, prompt = f"r{self.count}", [(self.count * 31 + i * 7) % 250 + 1 for i in range(length)]
        self.engine.submit(generate(id, prompt, max_tokens=max_tokens, n=n))
        self.live[id] = (prompt, max_tokens, {index: [] for index in range(n)})

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def abort(self, data):
        id = data.draw(st.sampled_from(sorted(self.live)))
        self.engine.abort(id)
        del self.live[id]

    @rule(count=st.integers(1, 30))
    def step(self, count):
        for _ in range(count):
            for event in self.engine.step():
                self._take(event)

    def _take(self, event):
        prompt, max_tokens, told = self.live[event.id]
        told[event.index] += event.token_ids
        assert event.num_output_tokens == len(told[event.index])
        if event.finish_reason:
            assert event.finish_reason == "length"
            assert told.pop(event.index) == continuation(prompt, max_tokens)
        if not told:
            del self.live[event.id]

    @invariant()
    def blocks_add_up(self):
        self.engine.check_invariants()
        assert self.engine.has_work == bool(self.live)

    @invariant()
    def the_budget_holds(self):
        assert all(s <= MAX_SEQUENCES and n <= BUDGET for s, n in self.runner.batch_sizes)

    def teardown(self):
        # The bound shows that nobody waits for ever: at worst the answers run one after another, each prefilled anew
        # for every token.
        for _ in range(1 + sum(5 * max_tokens * len(told) for _, max_tokens, told in self.live.values())):
            for event in self.engine.step():
                self._take(event)
        assert not self.live
        self.engine.check_invariants()
        assert self.engine.load().num_free_blocks == NUM_BLOCKS


Serving.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestServing = Serving.TestCase


def test_the_queue_is_first_come_first_served():
    engine = make_engine(max_sequences=1, max_batched_tokens=64)
    for name in "abc":
        engine.submit(generate(name, max_tokens=2))
    order = []
    while engine.has_work:
        order += [event.id for event in engine.step()]
    assert order == ["a", "a", "b", "b", "c", "c"]


def test_a_newcomer_waits_until_it_would_not_be_preempted_at_once():
    runner = FakeRunner(num_blocks=4, max_positions=64)
    engine = make_engine(runner)
    engine.submit(generate("first", [1] * 30, max_tokens=4))
    engine.submit(generate("second", [2] * 30, max_tokens=4))
    told = []
    while engine.has_work:
        told += engine.step()
    assert engine.load().num_preemptions == 0
    assert tokens_of([e for e in told if e.id == "second"]) == continuation([2] * 30, 4)
