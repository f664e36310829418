"""Requests to recurrent models: the state behind a prefix is kept beside its blocks, so that later prompts and
preempted sequences continue from it, with the same answers."""

from dataclasses import replace
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos.engine.config import EngineConfig
from llmos.engine.engine import Engine
from llmos.engine.runner.native import NativeRunner
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor
from support.examples import examples
from support.fakes import VOCAB_SIZE, FakeTokenizer, drain, generate, run, tokens_of
from support.random_models import CONVOLVED, DELTA, MAMBA, random_model

pytestmark = pytest.mark.combinations

SPECS = {
    name: replace(spec, vocab_size=VOCAB_SIZE)
    for name, spec in {"delta": DELTA, "mamba": MAMBA, "convolved": CONVOLVED}.items()
}
STEM = [(11 * i) % 250 for i in range(300)]


class Model(NamedTuple):
    spec: DecoderSpec
    tensors: dict[str, RawTensor]

    def __repr__(self):
        return self.spec.recurrence


@pytest.fixture(scope="module", params=SPECS)
def model(request):
    spec = SPECS[request.param]
    return Model(spec, random_model(spec, "F32"))


def engine_of(model, *, num_blocks=64, num_states=8, num_snapshots=16, **options) -> Engine:
    runner = NativeRunner(
        *model,
        num_blocks=num_blocks,
        num_states=num_states,
        num_snapshots=num_snapshots,
        weights="f32",
        kv_dtype="f32",
    )
    return Engine(runner, FakeTokenizer(), EngineConfig(**{"max_batched_tokens": 64, "context_length": 512} | options))


def request_of(index, **options):
    return generate(f"r{index}", [(7 * i + index) % 250 for i in range(20 + index)], max_tokens=40, **options)


def sharing(id, shared, *own, salt="", **options):
    """Return a request that begins with so many tokens of the stem."""
    request = generate(id, [*STEM[:shared], *own], **({"max_tokens": 4} | options))
    return msgspec.structs.replace(request, cache_salt=salt)


def answers(engine, *requests):
    return {key: tokens_of(deltas) for key, deltas in run(engine, *requests).items()}


def cached(outputs, id):
    return outputs[id, 0][0].num_cached_tokens


def answer_alone(model, request):
    return answers(engine_of(model, num_snapshots=0, prefix_cache=False), request)


def test_answers_are_the_same_alone_and_after_preemptions(model):
    requests = [request_of(i) for i in range(4)]
    alone = {}
    for each in requests:
        alone |= answers(engine_of(model), each)
    tight = engine_of(model, num_blocks=9, context_length=128)
    assert answers(tight, *requests) == alone
    assert tight.load().num_preemptions > 0


def test_the_same_prompt_continues_behind_its_last_whole_block(model):
    engine, request = engine_of(model), sharing("a", 100)
    first = run(engine, request)
    again = run(engine, request)
    assert (cached(first, "a"), cached(again, "a")) == (0, 96)
    assert tokens_of(again["a", 0]) == tokens_of(first["a", 0]) == answer_alone(model, request)["a", 0]


def test_the_next_turn_continues_behind_the_answer(model):
    engine = engine_of(model)
    first = run(engine, sharing("a", 100, max_tokens=40))
    turn = generate("b", [*STEM[:100], *tokens_of(first["a", 0]), 5, 6, 7], max_tokens=8)
    second = run(engine, turn)
    assert cached(second, "b") == 128, "139 tokens are computed, in 8 whole blocks"
    assert tokens_of(second["b", 0]) == answer_alone(model, turn)["b", 0]


def test_a_shared_prefix_is_kept_once_a_second_prompt_has_shown_where_it_ends(model):
    engine = engine_of(model)
    outputs = {}
    for id, own in (("a", 1), ("b", 2), ("c", 3)):
        request = sharing(id, 160, *[own] * 40)
        outputs |= run(engine, request)
        assert tokens_of(outputs[id, 0]) == answer_alone(model, request)[id, 0]
    assert [cached(outputs, id) for id in "abc"] == [0, 0, 160]


def test_a_long_prompt_is_continued_at_intervals(model):
    engine = engine_of(model)
    run(engine, sharing("a", 300))
    outputs = run(engine, sharing("b", 280, 1, 2, 3))
    assert cached(outputs, "b") == 256


def test_prompts_that_come_together_compute_what_they_share_once(model):
    engine = engine_of(model)
    requests = [sharing(id, 160, *[own] * 20) for own, id in enumerate("abcd")]
    alone = {}
    for each in requests:
        alone |= answer_alone(model, each)
    before = engine.num_computed_tokens
    outputs = run(engine, *requests)
    assert {key: tokens_of(deltas) for key, deltas in outputs.items()} == alone
    assert sorted(cached(outputs, id) for id in "abcd") == [0, 160, 160, 160]
    assert engine.num_computed_tokens - before == 180 + 3 * 20 + 4 * 3


def test_they_wait_for_a_state_that_is_missing_behind_known_blocks(model):
    engine = engine_of(model)
    run(engine, sharing("first", 170))  # keeps its end, which the others don't reach
    outputs = run(engine, *(sharing(id, 150, *[own] * 20) for own, id in enumerate("abcd")))
    assert sorted(cached(outputs, id) for id in "abcd") == [0, 144, 144, 144]


def test_they_wait_no_longer_than_for_that_state(model):
    engine = engine_of(model)
    run(engine, sharing("first", 170))
    for own, id in enumerate("abcd"):
        engine.submit(sharing(id, 150, *[own] * 20, max_tokens=60))
    for _ in range(10):
        engine.step()
    assert engine.load().num_running == 4
    drain(engine)


def test_the_choices_of_one_request_have_states_of_their_own(model):
    request = request_of(0, n=3, temperature=1.0, seed=4)
    several = answers(engine_of(model), request)
    assert several == answers(engine_of(model, num_states=1), request)
    assert several["r0", 0] != several["r0", 1]


def test_the_choices_of_one_request_share_its_prompt(model):
    engine = engine_of(model)
    request = sharing("a", 100, n=3, temperature=1.0, seed=4)
    several = answers(engine, request)
    assert several == answer_alone(model, request)
    assert engine.num_computed_tokens < 2 * 100


def test_projects_share_no_states(model):
    engine = engine_of(model)
    run(engine, sharing("a", 100, salt="one"))
    outputs = run(engine, sharing("b", 100, salt="other"))
    assert cached(outputs, "b") == 0


def test_nothing_is_kept_without_room_or_with_the_cache_off(model):
    for engine in (engine_of(model, num_snapshots=0), engine_of(model, prefix_cache=False)):
        run(engine, sharing("a", 100))
        outputs = run(engine, sharing("b", 100))
        assert cached(outputs, "b") == 0
        assert engine.load().num_state_snapshots == 0


def test_a_preempted_sequence_continues_from_its_last_snapshot(model):
    engine = engine_of(model)
    request = sharing("a", 100, max_tokens=100)
    alone = answer_alone(model, request)
    engine.submit(request)
    engine.submit(sharing("b", 30, max_tokens=100))
    for _ in range(40):
        engine.step()
    (sequence,) = [each for each in engine._scheduler.running if each.request_id == "a"]
    num_answered = len(sequence.tokens) - 100
    before = engine.num_computed_tokens
    engine._scheduler._preempt([sequence])
    events = engine.step()
    assert [event.id for event in events] == ["b", "a"]
    assert engine.num_computed_tokens - before <= 1 + 16, "less than a block is computed again"
    outputs = drain(engine)
    assert tokens_of(outputs["a", 0]) == alone["a", 0][num_answered + 1 :]


def test_no_more_sequences_run_than_there_are_states(model):
    engine = engine_of(model, num_states=2)
    requests = [request_of(i) for i in range(4)]
    assert answers(engine, *requests) == answers(engine_of(model), *requests)


def test_other_requests_begin_again_when_a_step_could_not_be_sampled(model, monkeypatch):
    expected = answers(engine_of(model), request_of(0))
    engine = engine_of(model)
    sample, failures = engine._sampler.sample, []

    def fail_once(*arguments, **options):
        if len(failures) < 1 and engine.load().num_steps == 5:
            failures.append(True)
            raise RuntimeError("a row can't be sampled")
        return sample(*arguments, **options)

    monkeypatch.setattr(engine._sampler, "sample", fail_once)
    monkeypatch.setattr(engine, "_find_failed_requests", lambda *_: {"r1"})
    assert tokens_of(run(engine, request_of(0), request_of(1))["r0", 0]) == expected["r0", 0]
    assert failures


def test_drafts_are_not_made_for_a_state_that_cannot_be_taken_back(model):
    engine = engine_of(model)
    run(engine, generate("a", [1, 2, 3, 4] * 20, max_tokens=40))
    assert engine.load().num_draft_tokens == 0


CONVERSATIONS = st.lists(
    st.tuples(st.sampled_from([0, 70, 100, 150]), st.integers(1, 40), st.integers(1, 3), st.booleans()),
    min_size=3,
    max_size=8,
)
"""Tokens of the stem, own tokens, turns, and whether the last turn is aborted."""


@pytest.mark.thorough
@pytest.mark.parametrize("room", [(40, 3), (26, 6), (64, 40)], ids=["few snapshots", "few blocks", "room"])
@given(conversations=CONVERSATIONS, seed=st.integers(0, 3))
@settings(max_examples=examples(12, fast=6), deadline=None)
def test_conversations_have_the_same_answers_with_and_without_snapshots(model, room, conversations, seed):
    num_blocks, num_snapshots = room
    engine = engine_of(
        model, num_blocks=num_blocks, num_snapshots=num_snapshots, num_states=4, context_length=400, max_sequences=4
    )
    prompts = [[*STEM[:shared], *[(seed + i) % 250] * own] for i, (shared, own, _, _) in enumerate(conversations)]
    for turn in range(3):
        live = {f"{turn}.{i}": i for i, (_, _, turns, _) in enumerate(conversations) if turns > turn}
        requests = {id: generate(id, prompts[i], max_tokens=30) for id, i in live.items()}
        for request in requests.values():
            engine.submit(request)
        events = []
        for id, i in live.items():
            _, _, turns, is_aborted = conversations[i]
            if turns == turn + 1 and is_aborted:
                events += engine.step()
                engine.abort(id)
                del requests[id]
                engine.check_invariants()
        for later in drain(engine).values():
            events += later
        for id, request in requests.items():
            answer = tokens_of(event for event in events if event.id == id)
            assert answer == alone(model, request)
            prompts[live[id]] += [*answer, turn]
    assert engine.load().num_free_blocks == num_blocks
    assert engine.load().num_state_snapshots <= num_snapshots


def alone(model, request):
    key = (model.spec.recurrence, tuple(request.tokens))
    if key not in ALONE:
        ALONE[key] = answer_alone(model, request)[request.id, 0]
    return ALONE[key]


ALONE = {}
