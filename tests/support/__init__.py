"""Fakes, tiny models and servers that several test modules share."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

FAKE_WORKER_COMMAND = (sys.executable, str(Path(__file__).parents[1] / "fake_worker.py"))
"""Starts a worker process around a fake model; see fake_worker.py, which lies where a script finds this package."""

ONE_THREAD = {"LLMOS_THREADS": "1"}
"""For real servers: threads that share busy cores with the other workers of a run wait for one another, and spin."""


def script_environment() -> dict[str, str]:
    """Return the environment of a Python script that imports this package."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}


def run_script(script: str, folder: Path) -> None:
    """Run a Python script in a process of its own, which may run out of memory or fork; it must end well.

    `folder`: the working directory, whose modules it can import.
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=folder, env=script_environment(), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
