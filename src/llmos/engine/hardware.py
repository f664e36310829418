"""What this process may use of the machine: its container's limits count, not only the machine's size."""

import os
from pathlib import Path

_ROOT = Path("/")


def available_memory_bytes(root: Path = _ROOT) -> int:
    """Return the memory that can be had without swapping, the page cache included."""
    lines = (root / "proc/meminfo").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    available = int(fields["MemAvailable"].split()[0]) * 1024
    limit = _read(root / "sys/fs/cgroup/memory.max")
    if limit.isdecimal():
        used = _read(root / "sys/fs/cgroup/memory.current")
        available = min(available, int(limit) - (int(used) if used.isdecimal() else 0))
    return max(available, 0)


def num_usable_cpus(root: Path = _ROOT) -> int:
    """Return how many cores' worth of time this process gets."""
    usable = len(os.sched_getaffinity(0))
    # "200000 100000": in every 100,000 microseconds 200,000 of work, so two cores' worth. "max 100000": no limit.
    quota, _, period = _read(root / "sys/fs/cgroup/cpu.max").partition(" ")
    if quota.isdecimal() and period.isdecimal():
        usable = min(usable, max(1, int(quota) // int(period)))
    return usable


def _read(path: Path) -> str:
    """Return the file's text, and nothing where there is no such limit to read."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
