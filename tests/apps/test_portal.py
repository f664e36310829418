"""The loop of blocking calls: Ctrl-C ends a run properly, and a forked process has a loop of its own."""

import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from llmos.apps import App
from llmos.apps.memory import MemoryServer


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let SIGINT raise KeyboardInterrupt: a shell starts background processes with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_cancels_the_run_and_the_journal_knows() -> None:
    server = MemoryServer()

    async def brain(text: str) -> str:
        main = threading.main_thread().ident
        assert main is not None
        while sys._current_frames()[main].f_code.co_name != "wait":
            await asyncio.sleep(0)
        signal.pthread_kill(main, signal.SIGINT)
        await asyncio.Event().wait()
        raise AssertionError

    app = App("shop", brain=brain)
    with app.replaced(server), pytest.raises(KeyboardInterrupt):
        app.run("Hi")
    (run,) = asyncio.run(server.runs.list(app="shop"))
    assert run.state == "cancelled"


PROGRAM = """
import os, sys
from llmos.apps import App
from llmos.apps.testing import Script
app = App("shop")
with Script("One", "Two").plays(app):
    assert app.run("Hi").text == "One"
    child = os.fork()
    if child == 0:
        os._exit(0 if app.run("Hi").text == "Two" else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert app.run("Hi").text == "Two"
"""


@pytest.mark.process
def test_a_forked_process_answers_too() -> None:
    outcome: Any = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120)
    assert outcome.returncode == 0, outcome.stderr
