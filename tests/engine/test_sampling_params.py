"""Invalid sampling parameters are rejected by name."""

import math

import pytest

from llmos.core.errors import BadRequest
from llmos.engine.messages import SamplingParams
from llmos.engine.sampling_params import check_sampling, derive_seed

VOCAB_SIZE, CONTEXT = 100, 64


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_tokens", 0),
        ("max_tokens", -1),
        ("max_tokens", CONTEXT + 1),
        ("min_tokens", -1),
        ("min_tokens", CONTEXT + 1),
        ("temperature", -0.1),
        ("temperature", 2.1),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("top_k", -1),
        ("top_p", -0.1),
        ("top_p", 1.1),
        ("top_p", math.nan),
        ("min_p", 1.5),
        ("repetition_penalty", 0.0),
        ("repetition_penalty", -1.0),
        ("repetition_penalty", math.inf),
        ("repetition_penalty", math.nan),
        ("presence_penalty", 2.5),
        ("frequency_penalty", -2.5),
        ("logit_bias", {VOCAB_SIZE: 1.0}),
        ("logit_bias", {-1: 1.0}),
        ("logit_bias", {1: 101.0}),
        ("logit_bias", {1: math.nan}),
        ("n", 0),
        ("n", 129),
        ("stop", [""]),
        ("stop", ["x"] * 65),
        ("stop", ["x" * 1025]),
        ("stop_token_ids", [VOCAB_SIZE]),
        ("stop_token_ids", [-1]),
        ("logprobs", -1),
        ("logprobs", 21),
    ],
)
def test_an_invalid_value_is_rejected_by_name(field, value):
    with pytest.raises(BadRequest) as error:
        check_sampling(SamplingParams(**{field: value}), VOCAB_SIZE, CONTEXT)
    assert error.value.param == field
    assert error.value.message.startswith(field)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"temperature": 0, "top_p": 0, "top_k": 0, "min_p": 0},
        {"temperature": 2, "top_p": 1, "top_k": 10**6, "min_p": 1},
        {"presence_penalty": -2, "frequency_penalty": 2, "repetition_penalty": 100},
        {"logit_bias": {0: -100, VOCAB_SIZE - 1: 100}},
        {"max_tokens": CONTEXT, "min_tokens": CONTEXT, "n": 128, "logprobs": 20},
        {"stop": ["x" * 1024] * 64, "stop_token_ids": [0, VOCAB_SIZE - 1]},
        {"seed": -(2**63)},
        {"seed": 2**64 - 1},
    ],
    ids=str,
)
def test_the_limits_themselves_are_allowed(params):
    check_sampling(SamplingParams(**params), VOCAB_SIZE, CONTEXT)


def test_min_tokens_over_max_tokens_names_both():
    with pytest.raises(BadRequest, match="min_tokens is 5 and max_tokens is 4"):
        check_sampling(SamplingParams(min_tokens=5, max_tokens=4), VOCAB_SIZE, CONTEXT)


def test_a_message_says_what_the_field_takes():
    with pytest.raises(BadRequest, match=r"temperature is 3; it takes a number from 0 to 2\."):
        check_sampling(SamplingParams(temperature=3.0), VOCAB_SIZE, CONTEXT)


def test_derived_seeds_are_64_bits_repeatable_and_distinct():
    seeds = {(seed, index): derive_seed(seed, index) for seed in (-5, 0, 1, 2**64 - 1) for index in range(100)}
    assert len(set(seeds.values())) == 400
    assert all(0 <= derived < 2**64 for derived in seeds.values())
    assert all(derive_seed(*key) == derived for key, derived in seeds.items())
