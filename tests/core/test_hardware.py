"""What doctor reads about the machine."""

from llmos.core import hardware
from llmos.core.hardware import inspect_hardware

ZEN4 = "model name\t: AMD EPYC 9R14\nflags\t\t: fpu avx2 fma f16c avx512f avx512bw avx512vl avx512dq avx512_vnni\n"
HASWELL = "model name\t: Intel Haswell\nflags\t\t: fpu avx2 fma f16c\n"
ARM = "Features\t: fp asimd\n"
MEMORY = "MemTotal:       16000000 kB\nMemAvailable:    8000000 kB\n"


def machine(monkeypatch, tmp_path, cpu="", memory="", limit="max", used="0"):
    for name, text in {"cpuinfo": cpu, "meminfo": memory, "memory.max": limit, "memory.current": used}.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(hardware, "_CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(hardware, "_MEMORY_INFO", tmp_path / "meminfo")
    monkeypatch.setattr(hardware, "_CGROUP", tmp_path)
    return inspect_hardware()


def test_a_cpu_runs_the_kernels_that_all_of_their_instructions_are_there_for(monkeypatch, tmp_path):
    assert machine(monkeypatch, tmp_path, ZEN4).isas == ("avx512", "avx2", "portable")
    assert machine(monkeypatch, tmp_path, HASWELL).isas == ("avx2", "portable")
    assert machine(monkeypatch, tmp_path, ARM).isas == ("portable",)
    assert machine(monkeypatch, tmp_path, ZEN4.replace("avx512_vnni", "")).isas == ("avx2", "portable")


def test_the_cpu_is_named(monkeypatch, tmp_path):
    assert machine(monkeypatch, tmp_path, ZEN4).cpu == "AMD EPYC 9R14"


def test_memory_is_the_machines(monkeypatch, tmp_path):
    found = machine(monkeypatch, tmp_path, memory=MEMORY)
    assert (found.memory_bytes, found.available_bytes) == (16_000_000 * 1024, 8_000_000 * 1024)


def test_a_containers_limit_counts_where_it_is_lower(monkeypatch, tmp_path):
    found = machine(monkeypatch, tmp_path, memory=MEMORY, limit="1000000000", used="300000000")
    assert (found.memory_bytes, found.available_bytes) == (1_000_000_000, 700_000_000)


def test_a_machine_that_tells_nothing_is_no_error(monkeypatch, tmp_path):
    monkeypatch.setattr(hardware, "_CPU_INFO", tmp_path / "none")
    monkeypatch.setattr(hardware, "_MEMORY_INFO", tmp_path / "none")
    monkeypatch.setattr(hardware, "_CGROUP", tmp_path / "none")
    found = inspect_hardware()
    assert found.isas == ("portable",)
    assert found.memory_bytes == 0
    assert found.num_cores >= 1
