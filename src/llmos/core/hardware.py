"""The hardware that this process may use: CPU instruction sets, memory and cores. Linux on any architecture; macOS.

Limits of the container (cgroup v1 and v2) count as well as the machine's size.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from llmos.core.config import KNOWN_ISAS

_AVX2 = frozenset({"avx2", "fma", "f16c"})
_AVX_VNNI = _AVX2 | {"avx_vnni"}
_AVX512 = _AVX2 | {"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_vnni"}
_NEEDED: dict[str, frozenset[str]] = {
    "avx512": _AVX512,
    "avx_vnni": _AVX_VNNI,
    "avx2": _AVX2,
    "portable": frozenset(),
}
"""The features that the kernels of each ISA use."""

_CPU_INFO = Path("/proc/cpuinfo")
_MEMORY_INFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """The hardware that this process may use."""

    cpu: str
    """The model's name."""
    features: frozenset[str]
    """The CPU's instruction sets, named as in /proc/cpuinfo (avx2, avx512_vnni)."""
    num_cores: int
    """Cores that this process may use at once: those of its affinity, or the container's CPU quota if that is less."""
    memory_bytes: int
    """The machine's memory, or the container's limit if that is less."""
    available_bytes: int
    """The part of it that can be used without swapping, including the page cache."""

    @property
    def isas(self) -> tuple[str, ...]:
        """The ISAs that this CPU supports and that the engine has kernels for, fastest first."""
        return tuple(isa for isa in KNOWN_ISAS if self.features >= _NEEDED[isa])


def inspect_hardware() -> Hardware:
    """Inspect this machine. Unknown values are empty or 0. Raises nothing."""
    fields = _fields(_CPU_INFO)
    memory = _fields(_MEMORY_INFO)
    total, available = _kib(memory.get("MemTotal", "")), _kib(memory.get("MemAvailable", ""))
    if sys.platform == "darwin":  # It doesn't say how much of it is in use.
        total = available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for group in _groups("memory"):
        limit, used = group.limit_and_use()
        if limit is not None and limit < total:
            total, available = limit, min(available, max(0, limit - used))
    return Hardware(
        cpu=fields.get("model name") or os.uname().machine,
        features=frozenset((fields.get("flags") or fields.get("Features") or "").split()),
        num_cores=num_cores(),
        memory_bytes=total,
        available_bytes=available,
    )


@dataclass(frozen=True, slots=True)
class _Group:
    """A cgroup of this process, version 1 or 2."""

    folder: Path
    is_v1: bool = False

    def limit_and_use(self) -> tuple[int | None, int]:
        """Return the memory limit, or None, and the memory in use, in bytes. Cached files don't count as used."""
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if self.is_v1 else ("memory.max", "memory.current")
        limit, used = (_number(self.folder / name) for name in names)
        stat = dict(line.split(" ", 1) for line in _text(self.folder / "memory.stat").splitlines() if " " in line)
        prefix = "total_" if self.is_v1 else ""
        cached = sum(int(stat.get(f"{prefix}{kind}_file", "0")) for kind in ("inactive", "active"))
        return limit, max(0, (used or 0) - cached)

    def num_killed(self) -> int:
        """Return how many processes the kernel has killed because the memory limit was reached."""
        text = _text(self.folder / ("memory.oom_control" if self.is_v1 else "memory.events"))
        counts = dict(line.split(" ", 1) for line in text.splitlines() if " " in line)
        return int(counts.get("oom_kill", "0"))

    def num_cores(self) -> int | None:
        """Return the whole cores of its CPU quota, at least one; None without a quota."""
        if self.is_v1:
            quota, period = (_text(self.folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
        else:
            # "200000 100000" allows 200,000 microseconds of CPU time in every 100,000: two cores. "max" is no limit.
            quota, _, period = _text(self.folder / "cpu.max").partition(" ")
        if not (quota.isdecimal() and period.isdecimal() and int(period)):
            return None
        return max(1, int(quota) // int(period))


def _groups(controller: str) -> list[_Group]:
    """Return the cgroups whose limits of a controller, such as "memory", apply to this process: its own and all
    parents."""
    groups = [_Group(_CGROUP), _Group(_CGROUP / controller, is_v1=True)]
    for line in _text(_OWN_GROUPS).splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        parts = PurePosixPath(path).parts[1:]
        is_v1 = controller in controllers.split(",")
        if ".." in parts or not (is_v1 or number == "0"):
            continue
        top = _CGROUP / controller if is_v1 else _CGROUP
        groups += [_Group(top.joinpath(*parts[:depth]), is_v1) for depth in range(1, len(parts) + 1)]
    return groups


def num_killed_for_memory() -> int:
    """Return how many processes of this container, or of this process's cgroup, the kernel has killed for memory."""
    return max(group.num_killed() for group in _groups("memory"))


def num_usable_cores() -> int:
    """Return the number of cores that the threads of this process may run on."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def num_cores() -> int:
    """Return the number of cores that this process may use at once; see Hardware.num_cores."""
    quotas = [group.num_cores() for group in _groups("cpu")]
    return min([num_usable_cores(), *(quota for quota in quotas if quota is not None)])


def _fields(path: Path) -> dict[str, str]:
    """Parse lines of the form "name : value". The first line of each name counts."""
    fields: dict[str, str] = {}
    for line in _text(path).splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    return fields


def _kib(text: str) -> int:
    """Return the bytes of a size such as "1024 kB"; 0 for anything else."""
    number = text.removesuffix("kB").strip()
    return int(number) * 1024 if number.isdecimal() else 0


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.isdecimal() else None


def _text(path: Path) -> str:
    """Return the file's text, or an empty string where it can't be read."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
