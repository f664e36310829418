"""AppProcess: one process of one version of an application: started, asked, drained, ended."""

import asyncio
import os
import shutil
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from llmos.core.errors import AppFailed
from llmos.gateway.hosted_apps.connection import AppConnection
from llmos.gateway.hosted_apps.isolation import command_of, environment_of
from llmos.hosting.continuing import CONTINUED

START_SECONDS = 60.0
DRAIN_SECONDS = 900.0
"""Runs that go on for longer are ended when their process is replaced."""
_LINE_BYTES = 64 << 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Continuing:
    """The way in which a process continues the runs that another one left."""

    after_seconds: float = 0.0
    given_up: Sequence[str] = ()
    """The runs that it leaves alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Launch:
    """The arguments of a process."""

    app: str
    ref: str
    """The version, such as support@3."""
    folder: Path
    """The files of the version."""
    home: Path
    """LLMOS_HOME, which is hidden from it."""
    work: Path
    """A new folder of its own, for its socket and what it writes."""
    environment: Mapping[str, str]
    """With its endpoint and its key."""
    memory_mb: int
    continuing: Continuing
    on_line: Callable[[bytes], None]
    """Called with each line that it prints."""


class AppProcess:
    """A process that serves a version. Belongs to the event loop's thread."""

    def __init__(self, launch: Launch, process: asyncio.subprocess.Process, *, is_isolated: bool) -> None:
        self._launch, self._process, self.is_isolated = launch, process, is_isolated
        self.ref = launch.ref
        self.connection = AppConnection(launch.app, launch.work / "app.sock")
        self.output_schema: Any = None
        self.depths: Counter[int] = Counter()
        """The runs that it has for callers, by how deep they stand in other applications."""
        self.last_line = ""
        self.left_runs: Sequence[str] = ()
        """The runs that the process was continuing when it was ended."""
        self._is_unused = asyncio.Event()
        self._is_unused.set()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, launch: Launch) -> "AppProcess":
        """Start a process, and return it when it serves. Raises AppFailed, with its last words."""
        launch.work.mkdir(mode=0o700)
        (launch.work / "home").mkdir()
        listener = socket.socket(socket.AF_UNIX)
        try:
            listener.bind(str(launch.work / "app.sock"))
            listener.listen(128)
            os.set_inheritable(listener.fileno(), True)
            command, is_isolated = command_of(launch.home, launch.folder, launch.work)
            # Not in another thread: the kernel ends the process together with the thread that started it.
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env=dict(environment_of(launch.work)),
                cwd=launch.work,
                pass_fds=[listener.fileno()],
                limit=_LINE_BYTES,
            )
            started = cls(launch, process, is_isolated=is_isolated)
            started._tell(_settings(launch, listener.fileno()))
        finally:
            listener.close()
        await started._until_ready()
        return started

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def num_runs(self) -> int:
        return self.depths.total()

    @contextmanager
    def running(self, depth: int) -> Iterator[None]:
        """Count a run, without which the process isn't ended."""
        self.depths[depth] += 1
        self._is_unused.clear()
        try:
            yield
        finally:
            self.depths[depth] -= 1
            self.depths += Counter()  # Depths without a run go.
            if not self.num_runs:
                self._is_unused.set()

    async def wait(self) -> int:
        """Return the exit status when the process has ended."""
        return await self._process.wait()

    async def drain(self) -> None:
        """End the process when its last run has ended; at once if this is cancelled."""
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_SECONDS):
                    await self._is_unused.wait()
                    self._tell(b"stop\n")
                    await self._process.wait()
        finally:
            await self.kill()

    async def kill(self) -> None:
        """End the process now, and remove what it wrote."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()
        await self._process.wait()
        await self._reading
        await self.connection.close()
        with suppress(OSError):
            self.left_runs = [each.name for each in (self._launch.work / CONTINUED).iterdir()]
        await asyncio.to_thread(shutil.rmtree, self._launch.work, ignore_errors=True)

    async def _until_ready(self) -> None:
        serving, ended = asyncio.ensure_future(self.connection.health()), asyncio.ensure_future(self.wait())
        try:
            done, _ = await asyncio.wait([serving, ended], return_when=asyncio.FIRST_COMPLETED, timeout=START_SECONDS)
            if serving in done and serving.exception() is not None:  # It ends before it has answered.
                await asyncio.wait([ended], timeout=START_SECONDS)
            if ended.done():
                await self._reading
                raise AppFailed(f"{self.ref} doesn't start: {self.last_line or 'its process ended without a word.'}")
            if not done:
                raise AppFailed(f"{self.ref} doesn't start: it wasn't ready within {START_SECONDS:g} seconds.")
            self.output_schema = serving.result().get("output")
        except BaseException:
            await self.kill()
            raise
        finally:
            for each in (serving, ended):
                each.cancel()
            await asyncio.gather(serving, ended, return_exceptions=True)

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while True:
            try:
                line = await self._process.stdout.readline()
            except ValueError:  # A line that is longer than the buffer is cut.
                continue
            if not line:
                return
            self._launch.on_line(line)
            self.last_line = line.decode(errors="replace").strip().removeprefix("Error: ")

    def _tell(self, line: bytes) -> None:
        if self._process.stdin is not None and not self._process.stdin.is_closing():
            self._process.stdin.write(line)


def _settings(launch: Launch, listener: int) -> bytes:
    settings = {
        "folder": str(launch.folder),
        "version": int(launch.ref.rpartition("@")[2]),
        "listener": listener,
        "environment": dict(launch.environment),
        "memory_mb": launch.memory_mb,
        "continue_after_seconds": launch.continuing.after_seconds,
        "given_up": [*launch.continuing.given_up],
    }
    return msgspec.json.encode(settings) + b"\n"
