"""What this process may use of the machine: instructions that the kernels want, memory, cores. Linux, any architecture.

A container's limits count, not only the machine's size.
"""

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from llmos.core.config import KNOWN_ISAS

_AVX2 = frozenset({"avx2", "fma", "f16c"})
_AVX512 = _AVX2 | {"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_vnni"}

_CPU_INFO = Path("/proc/cpuinfo")
_MEMORY_INFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    cpu: str
    features: frozenset[str]
    """The CPU's instruction sets, in the kernel's spelling (avx2, avx512_vnni)."""
    num_cores: int
    """Cores' worth of time that this process gets."""
    memory_bytes: int
    """What this process may use: the machine's memory, or the container's limit."""
    available_bytes: int
    """Of it, what can be had without swapping, the page cache included."""

    @property
    def isas(self) -> tuple[str, ...]:
        """The kernel paths that this CPU can run, best first."""
        able = {"avx512": self.features >= _AVX512, "avx2": self.features >= _AVX2, "portable": True}
        return tuple(isa for isa in KNOWN_ISAS if able[isa])


def inspect_hardware() -> Hardware:
    """Look at this machine. What can't be found out is empty or 0; raises nothing."""
    fields = _fields(_CPU_INFO)
    memory = _fields(_MEMORY_INFO)
    total, available = _kib(memory.get("MemTotal", "")), _kib(memory.get("MemAvailable", ""))
    for group in _groups():
        limit, used = group.limit_and_use()
        if limit is not None and limit < total:
            total, available = limit, min(available, max(0, limit - used))
    return Hardware(
        cpu=fields.get("model name") or os.uname().machine,
        features=frozenset((fields.get("flags") or fields.get("Features") or "").split()),
        num_cores=_num_cores(),
        memory_bytes=total,
        available_bytes=available,
    )


@dataclass(frozen=True, slots=True)
class _Group:
    """A control group that this process is in, of either version."""

    folder: Path
    is_v1: bool = False

    def limit_and_use(self) -> tuple[int | None, int]:
        """Return the bytes that its processes may have together, and have; what files they read counts as free."""
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if self.is_v1 else ("memory.max", "memory.current")
        limit, used = (_number(self.folder / name) for name in names)
        stat = dict(line.split(" ", 1) for line in _text(self.folder / "memory.stat").splitlines() if " " in line)
        prefix = "total_" if self.is_v1 else ""
        cached = sum(int(stat.get(f"{prefix}{kind}_file", "0")) for kind in ("inactive", "active"))
        return limit, max(0, (used or 0) - cached)


def _groups() -> list[_Group]:
    """The groups whose limits hold for this process: its own and all above it."""
    groups = [_Group(_CGROUP), _Group(_CGROUP / "memory", is_v1=True)]
    for line in _text(_OWN_GROUPS).splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        parts = PurePosixPath(path).parts[1:]
        is_v1 = "memory" in controllers.split(",")
        if ".." in parts or not (is_v1 or number == "0"):
            continue
        top = _CGROUP / "memory" if is_v1 else _CGROUP
        groups += [_Group(top.joinpath(*parts[:depth]), is_v1) for depth in range(1, len(parts) + 1)]
    return groups


def _num_cores() -> int:
    usable = len(os.sched_getaffinity(0))
    # "200000 100000": in every 100,000 microseconds 200,000 of work, so two cores' worth. "max 100000": no limit.
    quota, _, period = _text(_CGROUP / "cpu.max").partition(" ")
    if quota.isdecimal() and period.isdecimal():
        usable = min(usable, max(1, int(quota) // int(period)))
    return usable


def _fields(path: Path) -> dict[str, str]:
    """Read "name : value" lines, the first of each name."""
    fields: dict[str, str] = {}
    for line in _text(path).splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    return fields


def _kib(text: str) -> int:
    number = text.removesuffix("kB").strip()
    return int(number) * 1024 if number.isdecimal() else 0


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.isdecimal() else None


def _text(path: Path) -> str:
    """Return the file's text, and nothing where there is none to read."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
