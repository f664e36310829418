"""Continuation: continues runs of an app that no process has: after a crash, or when they got what they wait for."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from llmos.core.errors import LLMOSError, RunConflict
from llmos.hosting.serving import Served

_log = logging.getLogger(__name__)

POLL_SECONDS = 15.0
"""The delay until a run is found whose process died, or that got what it waits for through another server."""
MAX_AT_ONCE = 4
CONTINUED = "continued"
"""The folder, in that of a process, with a file for each run that it is continuing: a run may be what ends it."""


class Continuation:
    """Continues the abandoned runs of one App, beside new ones."""

    def __init__(self, served: Served, *, given_up: Sequence[str] = (), notes: Path | None = None) -> None:
        """`given_up`: runs that are left alone. `notes`: the folder CONTINUED; None: none is kept."""
        self._served, self._notes = served, notes
        if notes is not None:
            notes.mkdir(exist_ok=True)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._failed = {*given_up}
        """Runs that can't be continued, such as those of another version. Each is tried once."""

    async def run(self, *, after_seconds: float = 0.0) -> None:
        """Continue runs until cancelled. `after_seconds`: wait first. A run may be why the process before this one
        died, and new runs come first then."""
        await asyncio.sleep(after_seconds)
        while True:
            self._served.continued.clear()
            with suppress(LLMOSError):  # A server that is gone is asked again.
                await self.continue_some()
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._served.continued.wait()

    async def continue_some(self) -> None:
        """Begin to continue the runs that wait for it, as many as there is room for."""
        app = self._served.app
        found = await app.real_server().runs.list(app=app.name, abandoned=True)
        for run in reversed(found):  # The oldest first.
            is_new = run.id not in self._running and run.id not in self._failed
            if is_new and len(self._running) < MAX_AT_ONCE and not self._served.is_draining:
                self._running[run.id] = task = asyncio.create_task(self._continue(run.id))
                task.add_done_callback(partial(self._ended, run.id))

    async def _continue(self, id: str) -> None:
        try:
            with self._served.running(), self._noted(id):
                await self._served.app.aresume(id)
            _log.info("The run %s was continued.", id)
        except RunConflict:
            pass  # Another process was faster.
        except Exception as error:
            self._failed.add(id)
            _log.warning("The run %s was continued and failed: %s", id, error)

    @contextmanager
    def _noted(self, id: str) -> Iterator[None]:
        if self._notes is None:
            yield
            return
        note = self._notes / id
        note.touch()
        try:
            yield
        finally:
            note.unlink(missing_ok=True)

    def _ended(self, id: str, _: "asyncio.Task[None]") -> None:
        del self._running[id]
        self._served.continued.set()  # There is room for another one.
