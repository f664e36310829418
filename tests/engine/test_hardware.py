"""A container's limits count."""

import os

import pytest

from llmos.engine.hardware import available_memory_bytes, num_usable_cpus


@pytest.fixture
def machine(tmp_path):
    """Return a function that writes the files of a machine with 8,000 KiB free and the given limits."""

    def make(**limits):
        (tmp_path / "proc").mkdir()
        (tmp_path / "proc/meminfo").write_text("MemTotal:  16000 kB\nMemAvailable:   8000 kB\n")
        (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
        for name, text in limits.items():
            (tmp_path / "sys/fs/cgroup" / name.replace("_", ".")).write_text(text + "\n")
        return tmp_path

    return make


@pytest.mark.parametrize(
    ("limits", "available"),
    [
        ({}, 8_192_000),
        ({"memory_max": "max"}, 8_192_000),
        ({"memory_max": "3000000", "memory_current": "1000000"}, 2_000_000),
        ({"memory_max": "3000000"}, 3_000_000),
        ({"memory_max": "9000000000", "memory_current": "0"}, 8_192_000),
        ({"memory_max": "1000", "memory_current": "2000"}, 0),
    ],
)
def test_memory(machine, limits, available):
    assert available_memory_bytes(machine(**limits)) == available


@pytest.mark.parametrize(
    ("limit", "most"), [("max 100000", None), ("100000 100000", 1), ("50000 100000", 1), ("990000000 100000", None)]
)
def test_cpus(machine, limit, most):
    cores = len(os.sched_getaffinity(0))
    assert num_usable_cpus(machine(cpu_max=limit)) == (cores if most is None else min(most, cores))


def test_this_machine():
    assert available_memory_bytes() > 0
    assert 1 <= num_usable_cpus() <= len(os.sched_getaffinity(0))
