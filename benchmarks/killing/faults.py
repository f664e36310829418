"""Faults while a server runs: the database is locked, hangs or is gone, the disk is full, the clock jumps back."""

import os
import shutil
import signal
import sqlite3
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

from sqlalchemy.engine import URL, make_url

from support.postgresql import NOBODY, USER, end_with_parent, find_programs, wait_until_ready

Fault = Callable[[], AbstractAsyncContextManager[None]]

BALLAST = "ballast"


@asynccontextmanager
async def locked(url: str) -> AsyncIterator[None]:
    """Hold the lock that each writer of the ledger needs."""
    if make_url(url).get_backend_name() == "sqlite":
        connection = sqlite3.connect(str(make_url(url).database), isolation_level=None, timeout=60)
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield
        finally:
            connection.close()
        return
    import psycopg

    dsn = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(dsn) as held:
        held.execute("LOCK TABLE ledger_entries IN EXCLUSIVE MODE")
        yield


@asynccontextmanager
async def full(folder: Path) -> AsyncIterator[None]:
    """Leave no room on the disk of the folder, which is a small one of its own."""
    path = folder / BALLAST
    with path.open("wb", buffering=0) as ballast:
        try:
            stats = os.statvfs(folder)
            os.posix_fallocate(ballast.fileno(), 0, stats.f_bavail * stats.f_frsize)
            while ballast.write(bytes(4096)):
                pass
        except OSError:
            pass
    try:
        yield
    finally:
        path.unlink()


class PostgreSQL:
    """A server of this benchmark, which waits for the disk as others do, and can be stopped."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._user = NOBODY if os.geteuid() == 0 else None
        if self._user is not None:
            os.chown(folder, self._user, -1)
        self._programs = find_programs(folder, self._user)
        self.url = URL.create("postgresql", username=USER, database="postgres", query={"host": str(folder)})
        self._server: subprocess.Popen[bytes] | None = None

    @classmethod
    @contextmanager
    def started(cls) -> Iterator["PostgreSQL"]:
        """Start one in a temporary folder: others can't read that of the user, and its path may be too long."""
        folder = Path(tempfile.mkdtemp(prefix="llmos-pg-"))
        try:
            server = cls(folder)
            server.create()
            server.start()
            yield server
            server.stop()
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def create(self) -> None:
        run = partial(subprocess.run, user=self._user, cwd=self._folder, capture_output=True, check=True)
        initdb = [self._programs / "initdb", "--auth=trust", "--encoding=UTF8", "--locale=C", "-U", USER]
        run([*initdb, self._folder / "data"])

    def start(self) -> None:
        log = self._folder / "log"
        with log.open("ab") as output:
            self._server = subprocess.Popen(
                [self._programs / "postgres", "-D", self._folder / "data", "-k", self._folder, "-clisten_addresses="],
                user=self._user,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
                preexec_fn=end_with_parent,
            )
        wait_until_ready(self._server, self.url, log)

    def stop(self) -> None:
        assert self._server is not None
        self._server.send_signal(signal.SIGINT)  # Ends all sessions, then the server.
        self._server.wait(60)

    @asynccontextmanager
    async def gone(self) -> AsyncIterator[None]:
        self.stop()
        try:
            yield
        finally:
            self.start()  # In this thread: a server ends with the thread that has started it.
