"""The least time that a workload's steps can take."""

import pytest
from limits import limit_of
from results import Limits, Shape

from llmos.engine.sizing.workloads import Workload

SHAPE = Shape(layers=100, head=20, is_tied=True)
LIMITS = Limits(read_bytes_per_second=1000, int8_macs_per_second=10_000, f32_fmas_per_second=1, instructions="")


def test_one_stream_is_bound_by_reading_the_weights() -> None:
    # 120 bytes a step at 1,000 a second; 120 multiplications at 10,000 a second take less.
    assert limit_of(Workload("decode_1", 1, 32, 128), SHAPE, 120, LIMITS) == pytest.approx(1000 / 120)


def test_a_long_prompt_is_bound_by_computing_and_its_head_counts_once() -> None:
    seconds = (512 * 100 + 20) / 10_000
    assert limit_of(Workload("prefill_512", 1, 512, 1), SHAPE, 120, LIMITS) == pytest.approx(512 / seconds)


def test_many_streams_count_their_prompts_and_every_step_after() -> None:
    prefill = (50 * 10 * 100 + 50 * 20) / 10_000
    decode = 2 * max(120 / 1000, 50 * 120 / 10_000)
    assert limit_of(Workload("many", 50, 10, 3), SHAPE, 120, LIMITS) == pytest.approx(50 * 3 / (prefill + decode))


def test_an_embedding_that_is_not_the_head_is_not_read() -> None:
    untied = Shape(layers=100, head=20, is_tied=False)
    assert limit_of(Workload("decode_1", 1, 32, 128), untied, 140, LIMITS) == pytest.approx(1000 / 120)
