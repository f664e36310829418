"""The workloads: their prompts, and how their speed is calculated."""

from collections.abc import Sequence

import pytest

from llmos.engine.sizing.workloads import WORKLOADS, Timing, Workload, measure, random_prompts


def workload(name: str) -> Workload:
    (found,) = [each for each in WORKLOADS if each.name == name]
    return found


def test_prompts_are_the_same_each_time_and_different_for_each_seed() -> None:
    assert random_prompts(2, 5, 1, 40_000) == random_prompts(2, 5, 1, 40_000)
    assert random_prompts(2, 5, 1, 40_000) != random_prompts(2, 5, 2, 40_000)


def test_prompts_stay_inside_a_small_vocabulary() -> None:
    (prompt,) = random_prompts(1, 500, 1, 64)
    assert set(prompt) <= set(range(32, 64))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("prefill_512", 512 / 2.0),
        ("decode_1", 127 / 1.5),
        ("decode_8", 8 * 128 / 2.0),
        ("decode_32", 32 * 128 / 2.0),
        ("mixed_16", 16 * 128 / 2.0),
    ],
)
def test_speed_counts_the_tokens_that_the_workload_is_about(name: str, expected: float) -> None:
    assert workload(name).tokens_per_second(Timing(seconds=2.0, first_token_seconds=0.5)) == expected


def test_every_run_gets_new_prompts_after_a_warm_up_and_the_median_counts() -> None:
    asked: list[tuple[Sequence[Sequence[int]], int]] = []
    seconds = iter([9.0, 1.0, 4.0, 2.0])

    def run(prompts: Sequence[Sequence[int]], num_output_tokens: int) -> Timing:
        asked.append((prompts, num_output_tokens))
        return Timing(next(seconds), 0.0)

    (measurement,) = measure(run, repeats=3, workloads=[workload("prefill_512")], engine="other")
    assert (measurement.engine, measurement.workload) == ("other", "prefill_512")
    assert (measurement.tokens_per_second, measurement.runs) == (256.0, [128.0, 256.0, 512.0])
    assert [(len(prompts), len(prompts[0]), outputs) for prompts, outputs in asked] == [
        (2, 32, 8), (1, 512, 1), (1, 512, 1), (1, 512, 1),
    ]  # fmt: skip
    assert len({tuple(prompts[0]) for prompts, _ in asked}) == 4
