"""CpuActivity: tells a process that computes from one that is stopped or in a deadlock, by /proc."""

import sys
from contextlib import suppress
from glob import glob
from pathlib import Path


class CpuActivity:
    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._cpu_ticks = 0

    def has_computed(self) -> bool:
        """Return True if any thread has computed since the last call, or now waits for a CPU or for a page.

        Where there is no /proc, nobody knows: a busy process must not be taken for a stopped one.
        """
        if sys.platform != "linux":
            return True
        states, cpu_ticks = set(), 0
        for path in glob(f"/proc/{self._pid}/task/*/stat"):
            with suppress(OSError):  # The thread has just ended.
                # The name before the last parenthesis may hold spaces. After it come the state and, as the 12th and
                # 13th field, the user and system time.
                fields = Path(path).read_text().rpartition(")")[2].split()
                states.add(fields[0])
                cpu_ticks += int(fields[11]) + int(fields[12])
        before, self._cpu_ticks = self._cpu_ticks, cpu_ticks
        return cpu_ticks > before or not states.isdisjoint("RD")
