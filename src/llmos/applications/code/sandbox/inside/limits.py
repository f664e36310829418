"""Applies limits to this process, before anything runs in it that nobody trusts."""

import itertools
import os
import resource
from collections.abc import Mapping, Sequence


def prepare(keep: Sequence[int], limits: Mapping[str, int]) -> None:
    """Apply the limits, forget the environment, and close all files but stdout, stderr and `keep`."""
    os.environ.clear()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for first, last in itertools.pairwise([2, *sorted(keep), 4096]):
        os.closerange(first + 1, last)
    for name, value in limits.items():
        # One second after the signal that can be caught, the one that can't.
        hard = value + 1 if name == "RLIMIT_CPU" else value
        resource.setrlimit(getattr(resource, name), (value, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
