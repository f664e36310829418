"""MemoryKills: tells a process that the kernel killed for a memory limit from one that somebody else killed."""

import signal

from llmos.core.hardware import inspect_hardware, num_killed_for_memory


class MemoryKills:
    """Begins to count when it is made: before or with the process."""

    def __init__(self) -> None:
        self._num_before = num_killed_for_memory()

    def limit_of(self, status: int) -> int:
        """Return the memory limit in bytes for which a process with this exit status was killed; 0 for another reason.

        If the kernel killed another process of the container meanwhile, a process that somebody killed counts, too.
        """
        is_for_memory = status == -signal.SIGKILL and num_killed_for_memory() > self._num_before
        return inspect_hardware().memory_bytes if is_for_memory else 0
