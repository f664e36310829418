"""A worker that the kernel killed for memory is told from one that was killed otherwise."""

import pytest

from llmos.deployments.placing import memory_kills
from llmos.deployments.placing.memory_kills import MemoryKills
from llmos.deployments.placing.placer import WorkerExit


@pytest.mark.parametrize(
    ("status", "num_killed", "is_for_memory"), [(-9, 8, True), (-9, 7, False), (-11, 8, False), (1, 8, False)]
)
def test_a_kill_counts_if_the_kernel_has_killed_since(monkeypatch, status, num_killed, is_for_memory):
    monkeypatch.setattr(memory_kills, "num_killed_for_memory", lambda: 7)
    kills = MemoryKills()
    monkeypatch.setattr(memory_kills, "num_killed_for_memory", lambda: num_killed)
    assert bool(kills.limit_of(status)) == is_for_memory


def test_the_exit_of_a_worker_says_that_the_limit_was_reached():
    found = str(WorkerExit(status=-9, memory_limit_bytes=600_000_000))
    assert found == "was killed by the kernel: the memory limit of 600,000,000 bytes was reached"
