"""Settings of a server process for its memory: the areas that threads allocate from, and the collection of garbage."""

import contextlib
import ctypes
import gc

_M_ARENA_MAX, _NUM_ARENAS = -8, 2
"""mallopt's name for the number of arenas, in malloc.h."""

_GARBAGE_THRESHOLDS = 20_000, 20, 100
"""The allocations between two collections of the youngest generation, and the number of collections of a generation
between two collections of the next older one."""


def spare_garbage_collection() -> None:
    """Let collections pass over what the server keeps for as long as it runs, and come less often.

    A request leaves a few hundred objects behind, nearly all without cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GARBAGE_THRESHOLDS)
    with contextlib.suppress(OSError, AttributeError):  # Only glibc has it.
        ctypes.CDLL(None).malloc_trim(0)


def share_arenas() -> None:
    """Let all threads share few areas of memory. By default each of many threads has one, which is never given back."""
    with contextlib.suppress(OSError, AttributeError):  # Only glibc has it.
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _NUM_ARENAS)
