"""Sampling parameters that a model's files recommend."""

import math

import pytest

from llmos.engine.checkpoint.recommended import recommended_sampling


def test_recommended_parameters_are_returned_and_other_values_ignored() -> None:
    values = {"temperature": 0.2, "top_k": 20, "top_p": 0.9, "eos_token_id": 2, "do_sample": True, "max_length": 99}
    recommended = {"temperature": 0.2, "top_k": 20, "top_p": 0.9}
    assert recommended_sampling(values) == recommended
    assert recommended_sampling(values | {"max_new_tokens": 512}) == recommended | {"max_tokens": 512}


@pytest.mark.parametrize(
    "values",
    [
        {"temperature": -1}, {"temperature": "hot"}, {"temperature": math.nan}, {"temperature": True}, {"top_p": 2},
        {"top_k": -1}, {"top_k": math.inf}, {"min_p": None}, {"repetition_penalty": 0}, {"top_k": 1e400},
        {"temperature": 10**400}, {"max_new_tokens": 0},
    ],
)  # fmt: skip
def test_an_invalid_recommendation_is_ignored(values: dict[str, object]) -> None:
    assert recommended_sampling(values) == {}
