"""Fakes, tiny models and servers that several test modules share."""

import os
import sys
from pathlib import Path

FAKE_WORKER_COMMAND = (sys.executable, str(Path(__file__).with_name("fake_worker.py")))
"""Starts a worker process around a fake model; see fake_worker.py."""

ONE_THREAD = {"LLMOS_THREADS": "1"}
"""For real servers: threads that share busy cores with the other workers of a run wait for one another, and spin."""


def script_environment() -> dict[str, str]:
    """Return the environment of a Python script that imports this package."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
