import math

import pytest

from llmos.engine.checkpoint.recommended import recommended_sampling


def test_what_a_file_recommends_is_taken_and_the_rest_of_it_left() -> None:
    values = {"temperature": 0.2, "top_k": 20, "top_p": 0.9, "eos_token_id": 2, "do_sample": True, "max_length": 99}
    assert recommended_sampling(values) == {"temperature": 0.2, "top_k": 20, "top_p": 0.9}


@pytest.mark.parametrize(
    "values",
    [
        {"temperature": -1}, {"temperature": "hot"}, {"temperature": math.nan}, {"temperature": True}, {"top_p": 2},
        {"top_k": -1}, {"top_k": math.inf}, {"min_p": None}, {"repetition_penalty": 0}, {"top_k": 1e400},
        {"temperature": 10**400},
    ],
)  # fmt: skip
def test_a_recommendation_that_cannot_be_meant_is_left(values: dict[str, object]) -> None:
    assert recommended_sampling(values) == {}
