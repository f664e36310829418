"""Several steps under way at once, as a model in stages has them: what goes into which step, and who gets what."""

from collections import deque

import pytest

from llmos.engine.messages import Delta
from llmos.engine.scheduling import scheduler
from support.fakes import FakeRunner, continuation, drain, generate, make_engine, tokens_of


class InStages(FakeRunner):
    """Has so many steps under way. Computes a step when it begins: every stage computes them in this order."""

    def __init__(self, max_under_way, **options):
        super().__init__(**options)
        self.max_under_way = max_under_way
        self.under_way = deque()
        self.log = []
        """("begin" or "finish", tokens of the step)"""

    def begin(self, batch):
        logits = self.forward(batch)
        self.under_way.append((logits, self._scores, len(batch.tokens)))
        self.log.append(("begin", len(batch.tokens)))

    def finish(self):
        logits, self._scores, num_tokens = self.under_way.popleft()
        self.log.append(("finish", num_tokens))
        return logits


def engine_with(max_under_way, **options):
    return make_engine(InStages(max_under_way, num_blocks=128), max_draft_tokens=0, **options)


def test_the_chunks_of_a_prompt_follow_each_other_before_the_first_is_back():
    engine = engine_with(3)
    prompt = [1 + i % 200 for i in range(128 * 3 + 40)]
    engine.submit(generate("a", prompt, max_tokens=2))
    outputs = drain(engine)
    assert engine.runner.log[:5] == [
        ("begin", 128), ("begin", 128), ("begin", 128), ("finish", 128), ("begin", 40)
    ]  # fmt: skip
    assert tokens_of(outputs["a", 0]) == continuation(prompt, 2)


@pytest.mark.parametrize(("streams", "sizes"), [(7, {7}), (15, {15}), (16, {8}), (31, {16, 15}), (32, {16})])
def test_decoding_sequences_are_cut_into_groups_from_the_knee_on(streams, sizes):
    engine = engine_with(2, max_sequences=64)
    for i in range(streams):
        engine.submit(generate(f"r{i}", [i + 1], max_tokens=9))
    engine.step()
    engine.runner.log.clear()
    while engine.load().num_output_tokens < 4 * streams:
        engine.step()
    engine.runner.log.clear()
    for _ in range(4):
        engine.step()
        engine.check_invariants()
    assert {count for what, count in engine.runner.log if what == "begin"} == sizes
    outputs = drain(engine)
    assert all(outputs[f"r{i}", 0][-1].num_output_tokens == 9 for i in range(streams))


@pytest.fixture
def one_by_one(monkeypatch):
    """Each decoding sequence is a group, so that one is under way while another gets its token."""
    monkeypatch.setattr(scheduler, "ROWS_PER_GROUP", 1)


@pytest.mark.usefixtures("one_by_one")
def test_a_sequence_that_is_preempted_while_its_token_is_under_way_computes_it_again():
    engine = engine_with(2)
    prompts = {"a": [1, 2], "b": [3, 4]}
    for name, prompt in prompts.items():
        engine.submit(generate(name, prompt, max_tokens=6))
    events = engine.step() + engine.step()
    [under_way] = engine._under_way
    [(sequence, _)] = under_way.rows
    assert sequence.in_flight is under_way.plan
    engine._scheduler._requeue(sequence)
    engine.check_invariants()
    outputs = drain(engine)
    for name, prompt in prompts.items():
        before = [token for each in events if isinstance(each, Delta) and each.id == name for token in each.token_ids]
        assert before + tokens_of(outputs[name, 0]) == continuation(prompt, 6)


@pytest.mark.usefixtures("one_by_one")
def test_a_request_gets_nothing_of_an_aborted_one_with_its_id():
    engine = engine_with(2)
    for name, prompt in (("a", [1, 2]), ("b", [3, 4])):
        engine.submit(generate(name, prompt, max_tokens=6))
    engine.step()
    engine.step()
    [under_way] = engine._under_way
    [(sequence, _)] = under_way.rows
    engine.abort(sequence.request_id)
    engine.submit(generate(sequence.request_id, [7, 8], max_tokens=6))
    assert tokens_of(drain(engine)[sequence.request_id, 0]) == continuation([7, 8], 6)


def test_steps_under_way_end_although_nobody_wants_them():
    engine = engine_with(3)
    engine.submit(generate("a", [1] * 500, max_tokens=6))
    engine.step()
    engine.abort("a")
    assert engine.has_work
    assert drain(engine) == {}
    assert not engine.has_work
    assert not engine.runner.under_way
