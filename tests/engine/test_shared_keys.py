"""Requests to models whose last layers attend to the keys of earlier ones, and whose layers have heads of two sizes."""

from dataclasses import replace

import pytest

from llmos.engine.config import EngineConfig
from llmos.engine.engine import Engine
from llmos.engine.runner.native import NativeRunner
from support.fakes import VOCAB_SIZE, FakeTokenizer, generate, run, tokens_of
from support.random_models import MIXED, SHARED, STREAMS, random_model

SPECS = {
    name: replace(spec, vocab_size=VOCAB_SIZE)
    for name, spec in {"shared": SHARED, "mixed": MIXED, "streams": STREAMS}.items()
}


@pytest.fixture(scope="module", params=SPECS)
def model(request):
    spec = SPECS[request.param]
    return spec, random_model(spec, "F32")


def engine_of(model, *, num_blocks=64, **options) -> Engine:
    runner = NativeRunner(*model, num_blocks=num_blocks, weights="f32", kv_dtype="f32")
    return Engine(runner, FakeTokenizer(), EngineConfig(**{"max_batched_tokens": 64, "context_length": 128} | options))


def request_of(index, **options):
    return generate(f"r{index}", [(7 * i + index) % 250 for i in range(40 + index)], max_tokens=30, **options)


def answers(engine, *requests):
    return {key: tokens_of(deltas) for key, deltas in run(engine, *requests).items()}


def test_answers_are_the_same_alone_and_after_preemptions(model):
    requests = [request_of(i) for i in range(4)]
    alone = {}
    for each in requests:
        alone |= answers(engine_of(model), each)
    tight = engine_of(model, num_blocks=11)
    assert answers(tight, *requests) == alone
    assert tight.load().num_preemptions > 0


def test_a_prompt_that_was_computed_before_is_reused_and_has_the_same_answer(model):
    engine = engine_of(model)
    first = answers(engine, request_of(0))
    assert answers(engine, request_of(0)) == first
    assert engine.load().num_cached_tokens > 0


def test_a_layer_that_shares_keys_takes_no_room_in_the_cache():
    """For 16 positions, layer 0 keeps two heads of 12 values, and layer 1 two of 18; the others keep nothing."""
    sizes = {12: 16, 18: 32}  # of a value, padded
    expected = sum(2 * 16 * 4 * (size + padded) for size, padded in sizes.items())
    assert NativeRunner.block_bytes(SPECS["shared"], "f32") == expected
