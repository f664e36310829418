"""Requests to recurrent models: states belong to one sequence, so nothing is shared, and preempted ones begin again."""

from dataclasses import replace

import pytest

from llmos.engine.config import EngineConfig
from llmos.engine.engine import Engine
from llmos.engine.runner.native import NativeRunner
from support.fakes import VOCAB_SIZE, FakeTokenizer, generate, run, tokens_of
from support.random_models import CONVOLVED, DELTA, MAMBA, random_model

SPECS = {
    name: replace(spec, vocab_size=VOCAB_SIZE)
    for name, spec in {"delta": DELTA, "mamba": MAMBA, "convolved": CONVOLVED}.items()
}


@pytest.fixture(scope="module", params=SPECS)
def model(request):
    spec = SPECS[request.param]
    return spec, random_model(spec, "F32")


def engine_of(model, *, num_blocks=64, num_states=8, **options) -> Engine:
    runner = NativeRunner(*model, num_blocks=num_blocks, num_states=num_states, weights="f32", kv_dtype="f32")
    return Engine(runner, FakeTokenizer(), EngineConfig(**{"max_batched_tokens": 64, "context_length": 128} | options))


def request_of(index, **options):
    return generate(f"r{index}", [(7 * i + index) % 250 for i in range(20 + index)], max_tokens=40, **options)


def answers(engine, *requests):
    return {key: tokens_of(deltas) for key, deltas in run(engine, *requests).items()}


def test_answers_are_the_same_alone_and_after_preemptions(model):
    requests = [request_of(i) for i in range(4)]
    alone = {}
    for each in requests:
        alone |= answers(engine_of(model), each)
    tight = engine_of(model, num_blocks=9)
    assert answers(tight, *requests) == alone
    assert tight.load().num_preemptions > 0


def test_a_prompt_that_was_computed_before_is_computed_again(model):
    engine = engine_of(model)
    first = answers(engine, request_of(0))
    assert answers(engine, request_of(0)) == first
    assert engine.load().num_cached_tokens == 0


def test_the_choices_of_one_request_have_states_of_their_own(model):
    request = request_of(0, n=3, temperature=1.0, seed=4)
    several = answers(engine_of(model), request)
    assert several == answers(engine_of(model, num_states=1), request)
    assert several["r0", 0] != several["r0", 1]


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
