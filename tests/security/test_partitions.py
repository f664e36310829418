"""Partitions: what the names depend on, and that nobody learns by timing what another project has asked."""

import statistics
import time
from math import sqrt
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.engine.config import EngineConfig
from llmos.engine.engine import Engine
from llmos.engine.loading import load_engine
from llmos.engine.messages import Delta, Generate, SamplingParams
from llmos.engine.sizing.workloads import random_prompts
from llmos.security.partitions import Partitions

NUM_ROUNDS = 12

PROJECTS = st.from_regex(r"[a-z0-9._-]{1,8}", fullmatch=True)


@given(st.lists(st.tuples(PROJECTS, st.text(max_size=8)), min_size=2, max_size=8, unique=True))
def test_each_project_and_salt_has_a_partition_of_its_own(pairs: list[tuple[str, str]]) -> None:
    partitions = Partitions()
    names = [partitions.of(project, salt) for project, salt in pairs]
    assert len(set(names)) == len(pairs)
    assert names == [partitions.of(project, salt) for project, salt in pairs]


def test_two_servers_have_different_names() -> None:
    assert Partitions().of("acme") != Partitions().of("acme")


@pytest.fixture(scope="module")
def engine(smollm2_path: Path) -> Engine:
    return load_engine({"model.gguf": smollm2_path}, EngineConfig(threads=1))[0]


def first_token(engine: Engine, partition: str, prompt: list[int]) -> tuple[float, int]:
    """Return the seconds to the first token, and how many tokens of the prompt were in the cache."""
    sampling = SamplingParams(temperature=0.0, max_tokens=1, ignore_eos=True)
    began, num_cached = time.perf_counter(), 0
    engine.submit(Generate(id="probe", tokens=prompt, cache_salt=partition, sampling=sampling))
    while engine.has_work:
        for event in engine.step():
            if isinstance(event, Delta):
                num_cached = max(num_cached, event.num_cached_tokens)
    return time.perf_counter() - began, num_cached


def deviation(samples: list[float], others: list[float]) -> float:
    """Return how far the ranks of two samples are apart, in standard deviations of the Mann-Whitney statistic."""
    num_below = sum((a < b) + (a == b) / 2 for a in samples for b in others)
    n, m = len(samples), len(others)
    return (num_below - n * m / 2) / sqrt(n * m * (n + m + 1) / 12)


def test_timing_does_not_tell_what_another_project_has_asked(engine: Engine) -> None:
    """The rounds are interleaved, so that a busy machine slows all three kinds of probes down alike."""
    partitions = Partitions()
    secret, *fresh = random_prompts(NUM_ROUNDS + 2, 192, 7, 49_152)
    first_token(engine, partitions.of("acme"), fresh.pop())  # The first call of an engine is slower.
    first_token(engine, partitions.of("acme"), secret)
    own, foreign, unknown = [], [], []
    for index, prompt in enumerate(fresh):
        own.append(first_token(engine, partitions.of("acme"), secret))
        # Each probe has a partition that it finds empty, or else it would find what the one before it left.
        foreign.append(first_token(engine, partitions.of("rival", str(index)), secret))
        unknown.append(first_token(engine, partitions.of("rival", str(index)), prompt))
    assert {cached for _, cached in foreign + unknown} == {0}
    assert min(cached for _, cached in own) > 0
    seconds = [[each for each, _ in probes] for probes in (own, foreign, unknown)]
    assert deviation(seconds[0], seconds[1]) > 3.5, "within a project the cache is seen: the probe can tell a hit"
    assert abs(deviation(seconds[1], seconds[2])) < 3.7, [statistics.median(each) for each in seconds]
