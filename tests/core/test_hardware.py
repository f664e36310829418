"""The hardware that a process may use, with and without the limits of a container."""

import os

import pytest

from llmos.core import hardware
from llmos.core.hardware import inspect_hardware, num_killed_for_memory

ZEN4 = "model name\t: AMD EPYC 9R14\nflags\t\t: fpu avx2 fma f16c avx512f avx512bw avx512vl avx512dq avx512_vnni\n"
HASWELL = "model name\t: Intel Haswell\nflags\t\t: fpu avx2 fma f16c\n"
ALDER_LAKE = "model name\t: 12th Gen Intel Core i5\nflags\t\t: fpu avx2 fma f16c avx_vnni\n"
ARM = "Features\t: fp asimd\n"
MEMORY = "MemTotal:       16000000 kB\nMemAvailable:    8000000 kB\n"


def machine(monkeypatch, tmp_path, cpu="", memory="", limit="max", used="0", cores="max 100000"):
    files = {"cpuinfo": cpu, "meminfo": memory, "memory.max": limit, "memory.current": used, "cpu.max": cores}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(hardware, "_CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(hardware, "_MEMORY_INFO", tmp_path / "meminfo")
    monkeypatch.setattr(hardware, "_CGROUP", tmp_path)
    monkeypatch.setattr(hardware, "_OWN_GROUPS", tmp_path / "own")
    return inspect_hardware()


def test_a_cpu_supports_an_isa_with_all_of_its_features(monkeypatch, tmp_path):
    assert machine(monkeypatch, tmp_path, ZEN4).isas == ("avx512", "avx2", "portable")
    assert machine(monkeypatch, tmp_path, HASWELL).isas == ("avx2", "portable")
    assert machine(monkeypatch, tmp_path, ALDER_LAKE).isas == ("avx_vnni", "avx2", "portable")
    assert machine(monkeypatch, tmp_path, ARM).isas == ("portable",)
    assert machine(monkeypatch, tmp_path, ZEN4.replace("avx512_vnni", "")).isas == ("avx2", "portable")


def test_the_cpu_is_named(monkeypatch, tmp_path):
    assert machine(monkeypatch, tmp_path, ZEN4).cpu == "AMD EPYC 9R14"


def test_without_a_container_the_machines_memory_counts(monkeypatch, tmp_path):
    found = machine(monkeypatch, tmp_path, memory=MEMORY)
    assert (found.memory_bytes, found.available_bytes) == (16_000_000 * 1024, 8_000_000 * 1024)


def test_a_containers_limit_counts_where_it_is_lower(monkeypatch, tmp_path):
    found = machine(monkeypatch, tmp_path, memory=MEMORY, limit="1000000000", used="300000000")
    assert (found.memory_bytes, found.available_bytes) == (1_000_000_000, 700_000_000)


@pytest.mark.parametrize(
    ("limit", "used", "available"),
    [
        ("max", "0", 8_192_000_000),
        ("3000000", "1000000", 2_000_000),
        ("3000000", "", 3_000_000),
        ("90000000000", "0", 8_192_000_000),
        ("1000", "2000", 0),
    ],
)
def test_memory_used_by_the_container_is_not_available(monkeypatch, tmp_path, limit, used, available):
    assert machine(monkeypatch, tmp_path, memory=MEMORY, limit=limit, used=used).available_bytes == available


@pytest.mark.parametrize(
    ("cores", "most"), [("max 100000", None), ("100000 100000", 1), ("50000 100000", 1), ("990000000 100000", None)]
)
def test_a_containers_cpu_quota_counts(monkeypatch, tmp_path, cores, most):
    all_cores = len(os.sched_getaffinity(0))
    found = machine(monkeypatch, tmp_path, cores=cores).num_cores
    assert found == (all_cores if most is None else min(most, all_cores))


def test_this_machine_has_memory_and_cores():
    found = inspect_hardware()
    assert 0 < found.available_bytes <= found.memory_bytes
    assert 1 <= found.num_cores <= len(os.sched_getaffinity(0))


def test_unknown_hardware_is_not_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr(hardware, "_CPU_INFO", tmp_path / "none")
    monkeypatch.setattr(hardware, "_MEMORY_INFO", tmp_path / "none")
    monkeypatch.setattr(hardware, "_CGROUP", tmp_path / "none")
    found = inspect_hardware()
    assert found.isas == ("portable",)
    assert found.memory_bytes == 0
    assert found.num_cores >= 1


def test_cached_files_of_a_container_count_as_available(monkeypatch, tmp_path):
    (tmp_path / "memory.stat").write_text("anon 100\ninactive_file 150000000\nactive_file 50000000\nfile 900000000\n")
    found = machine(monkeypatch, tmp_path, memory=MEMORY, limit="1000000000", used="300000000")
    assert found.available_bytes == 900_000_000


@pytest.mark.parametrize("where", ["a", "a/b.service"])
def test_the_limit_of_any_parent_cgroup_counts(monkeypatch, tmp_path, where):
    (tmp_path / "own").write_text("0::/a/b.service\n")
    (tmp_path / "a" / "b.service").mkdir(parents=True)
    (tmp_path / where / "memory.max").write_text("5000000")
    (tmp_path / where / "memory.current").write_text("1000000")
    assert machine(monkeypatch, tmp_path, memory=MEMORY).available_bytes == 4_000_000


def test_cgroups_of_version_1_count(monkeypatch, tmp_path):
    (tmp_path / "own").write_text("5:cpu,cpuacct:/x\n4:memory:/docker/1\n")
    folder = tmp_path / "memory" / "docker" / "1"
    folder.mkdir(parents=True)
    (folder / "memory.limit_in_bytes").write_text("5000000")
    (folder / "memory.usage_in_bytes").write_text("2000000")
    (folder / "memory.stat").write_text("cache 7\ntotal_inactive_file 300000\ntotal_active_file 200000\n")
    assert machine(monkeypatch, tmp_path, memory=MEMORY).available_bytes == 3_500_000


def test_the_cpu_quota_of_any_parent_cgroup_counts(monkeypatch, tmp_path):
    (tmp_path / "own").write_text("0::/a/b.service\n")
    (tmp_path / "a" / "b.service").mkdir(parents=True)
    (tmp_path / "a" / "cpu.max").write_text("150000 100000")
    (tmp_path / "a" / "b.service" / "cpu.max").write_text("max 100000")
    assert machine(monkeypatch, tmp_path).num_cores == 1


@pytest.mark.parametrize("quota", ["50000", "100000", "199999", "-1", ""])
def test_a_cpu_quota_of_version_1_counts(monkeypatch, tmp_path, quota):
    monkeypatch.setattr(hardware, "num_usable_cores", lambda: 4)
    (tmp_path / "own").write_text("5:cpu,cpuacct:/docker/1\n4:memory:/docker/1\n")
    folder = tmp_path / "cpu" / "docker" / "1"
    folder.mkdir(parents=True)
    (folder / "cpu.cfs_quota_us").write_text(quota)
    (folder / "cpu.cfs_period_us").write_text("100000")
    assert machine(monkeypatch, tmp_path).num_cores == (1 if quota.isdecimal() else 4)


def test_processes_that_were_killed_for_memory_are_counted(monkeypatch, tmp_path):
    machine(monkeypatch, tmp_path)
    assert num_killed_for_memory() == 0
    (tmp_path / "memory.events").write_text("low 0\noom 3\noom_kill 2\n")
    assert num_killed_for_memory() == 2
    (tmp_path / "own").write_text("4:memory:/docker/1\n")
    folder = tmp_path / "memory" / "docker" / "1"
    folder.mkdir(parents=True)
    (folder / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 5\n")
    assert num_killed_for_memory() == 5
