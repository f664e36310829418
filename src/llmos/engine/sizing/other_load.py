"""OtherLoad: the processor time that other processes take while this one measures."""

import os
import time
from collections.abc import Callable
from pathlib import Path

_STAT = Path("/proc/stat")
_BUSY_FIELDS = (0, 1, 2, 5, 6, 7)
"""user, nice, system, irq, softirq and steal, of: user nice system idle iowait irq softirq steal …"""


class OtherLoad:
    """Counts from its creation on. Where there is no /proc/stat, nobody knows: cores() is 0."""

    def __init__(
        self, stat: Path = _STAT, own_seconds: Callable[[], float] = time.process_time,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:  # fmt: skip
        self._stat, self._own_seconds, self._clock = stat, own_seconds, clock
        self._began, self._own, self._busy = clock(), own_seconds(), _busy_seconds(stat)

    def cores(self) -> float:
        """Return how many cores other processes have used on average, of all of the machine's."""
        busy, elapsed = _busy_seconds(self._stat), self._clock() - self._began
        if busy is None or self._busy is None or elapsed <= 0:
            return 0.0
        return max(0.0, (busy - self._busy) - (self._own_seconds() - self._own)) / elapsed


def _busy_seconds(stat: Path) -> float | None:
    """Return the time that all cores together were busy since the machine's start. None if it isn't known."""
    try:
        name, *ticks = stat.read_text().partition("\n")[0].split()
        if name != "cpu":
            return None
        return sum(int(ticks[i]) for i in _BUSY_FIELDS) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None
