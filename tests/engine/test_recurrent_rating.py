"""A recurrent model scores texts from the state behind their prompt, with the same numbers as each of them alone."""

from dataclasses import replace

import pytest

from llmos.engine.config import EngineConfig
from llmos.engine.engine import Engine
from llmos.engine.runner.native import NativeRunner
from support.fakes import VOCAB_SIZE, FakeTokenizer, drain, generate, run
from support.random_models import CONVOLVED, DELTA, MAMBA, random_model
from support.rated import numbers, rate

STEM = [(11 * i) % 250 for i in range(300)]
OPTIONS = [[(i * 31 + j * 3) % 250 for j in range(20)] for i in range(4)]


@pytest.fixture(scope="module", params=[DELTA, MAMBA, CONVOLVED], ids=lambda spec: spec.recurrence)
def runner(request):
    spec = replace(request.param, vocab_size=VOCAB_SIZE)
    options = {"weights": "f32", "kv_dtype": "f32", "num_states": 8, "num_snapshots": 16}
    return NativeRunner(spec, random_model(spec, "F32"), num_blocks=64, **options)


def engine_of(runner, **options):
    return Engine(runner, FakeTokenizer(), EngineConfig(**{"max_batched_tokens": 64, "context_length": 512} | options))


def alone(runner, prompt, tokens):
    (event,) = run(engine_of(runner, prefix_cache=False), rate(tokens=prompt, continuations=[tokens]))["s", 0]
    return numbers(event.continuations[0])


@pytest.mark.parametrize("length", [100, 128])
def test_texts_share_the_state_behind_their_prompt(runner, length):
    prompt = STEM[:length]
    engine = engine_of(runner)
    (event,) = run(engine, rate(tokens=prompt, continuations=OPTIONS))["s", 0]
    assert [numbers(each) for each in event.continuations] == [alone(runner, prompt, tokens) for tokens in OPTIONS]
    assert event.num_computed_tokens == length + 19 + 3 * (length % 16 + 19)


def test_a_prompt_without_a_kept_state_is_computed_for_each_text(runner):
    engine = engine_of(runner, prefix_cache=False)
    (event,) = run(engine, rate(tokens=STEM[:100], continuations=OPTIONS, scores_prompt=True))["s", 0]
    assert [numbers(each) for each in event.continuations] == [alone(runner, STEM[:100], each) for each in OPTIONS]


def test_preempted_texts_have_the_same_scores(runner):
    engine = engine_of(runner, max_batched_tokens=24, max_sequences=8)
    engine.submit(rate(tokens=STEM[:90], continuations=OPTIONS, scores_prompt=True))
    engine.submit(generate("g", STEM[:40], max_tokens=30))
    outputs, num_steps = [], 0
    while engine.has_work:
        outputs += engine.step()
        num_steps += 1
        if num_steps % 3 == 0 and (candidates := engine._scheduler._preemptible()):
            engine._scheduler._preempt(candidates)
        engine.check_invariants()
    (event,) = (each for each in outputs if each.id == "s")
    assert engine.load().num_preemptions > 2
    assert [numbers(each) for each in event.continuations] == [alone(runner, STEM[:90], each) for each in OPTIONS]


def test_a_scored_prompt_leaves_its_state_to_others(runner):
    engine = engine_of(runner)
    run(engine, rate(tokens=STEM[:100], scores_prompt=True))
    outputs = run(engine, generate("next", STEM[:100], max_tokens=2))
    assert outputs["next", 0][0].num_cached_tokens == 96
    drain(engine)
