"""Workers that are forked once the tests are collected (`pytest --fast --forks 3`).

pytest-xdist starts its workers from nothing. Each then imports the package and all test files, which takes five seconds
of a core, and the reports of the tests take some seconds more. Here one process collects the tests and forks the
workers, which are given one test file after another and send their reports through a pipe.

A fork has the calling thread only, so no test file may start another one when it is imported; the run fails if one
does. Fixtures, those of the session among them, are made in the workers.
"""

import functools
import itertools
import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from support.scheduling import FIRST

Files = Sequence[Sequence[pytest.Item]]
"""The tests of each file."""

_NEXT = "next"


class ForkedWorkers:
    """The pytest plugin of the process that forks."""

    def __init__(self, num_workers: int) -> None:
        self._num_workers = num_workers

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        if session.testsfailed or session.config.option.collectonly or self._num_workers < 2:
            return None
        if (num_threads := _num_threads()) > 1:
            raise pytest.UsageError(f"Importing the tests started {num_threads - 1} threads. A fork would lose them.")
        files = _by_file(session.items)
        base = session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
        workers = [_Worker(session, files, base / f"worker-{index}") for index in range(self._num_workers)]
        try:
            _distribute(session, files, workers)
        finally:
            for worker in workers:
                worker.end()
        return True


class _Worker:
    """A forked process, as the one that forked it sees it."""

    def __init__(self, session: pytest.Session, files: Files, folder: Path) -> None:
        context = multiprocessing.get_context("fork")
        self.connection, other = context.Pipe()
        self._process: BaseProcess = context.Process(target=_work, args=(session, files, other, folder))
        self._process.start()
        other.close()
        self.file = ""

    def check(self) -> None:
        """Wait for the process, and raise Session.Failed unless it ended well."""
        self._process.join()
        if self._process.exitcode != 0:
            raise pytest.Session.Failed(f"a worker ended with status {self._process.exitcode} in {self.file}")

    def end(self) -> None:
        self.connection.close()
        if self._process.is_alive():
            self._process.terminate()
        self._process.join()


def _num_threads() -> int:
    """Return the threads of this process; on Linux those of native code, too."""
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.is_dir() else threading.active_count()


def _by_file(items: Sequence[pytest.Item]) -> list[list[pytest.Item]]:
    """Return the tests of each file, first those that take longest: the others fill the end of the run."""
    files = [list(tests) for _, tests in itertools.groupby(items, key=lambda item: item.path)]
    return sorted(files, key=lambda tests: (tests[0].nodeid.partition("::")[0] in FIRST, len(tests)), reverse=True)


def _distribute(session: pytest.Session, files: Files, workers: Sequence[_Worker]) -> None:
    """Give each worker a file whenever it asks for one, and report what they report, until all have ended."""
    waiting = iter(range(len(files)))
    running = {worker.connection: worker for worker in workers}
    while running:
        for connection in wait(list(running)):
            assert isinstance(connection, Connection)
            worker = running[connection]
            try:
                message = connection.recv()
            except EOFError:
                del running[connection]
                worker.check()
                continue
            if message == _NEXT:
                index = next(waiting, None)
                worker.file = worker.file if index is None else str(files[index][0].path)
                connection.send(index)
            else:
                _report(session, message)


def _report(session: pytest.Session, reports: Sequence[dict[str, Any]]) -> None:
    hook = session.config.hook
    for each in reports:
        hook.pytest_runtest_logreport(report=hook.pytest_report_from_serializable(config=session.config, data=each))
    if session.shouldfail:
        raise session.Failed(session.shouldfail)
    if session.shouldstop:
        raise session.Interrupted(session.shouldstop)


class _Sender:
    """The pytest plugin of a worker: sends the reports of a test once it has ended."""

    def __init__(self, config: pytest.Config, connection: Connection) -> None:
        self._config, self._connection = config, connection
        self._reports: list[Any] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._reports.append(self._config.hook.pytest_report_to_serializable(config=self._config, report=report))

    def pytest_runtest_logfinish(self) -> None:
        self._connection.send(self._reports)
        self._reports = []


def _work(session: pytest.Session, files: Files, connection: Connection, folder: Path) -> None:
    """Run one file after another in a forked process."""
    _become_worker(session.config, connection, folder)
    following = _indices(connection)
    index = next(following, None)
    while index is not None:
        tests = files[index]
        for item, next_item in itertools.pairwise(tests):
            session.config.hook.pytest_runtest_protocol(item=item, nextitem=next_item)
        # Fixtures that the next file uses, too, are kept.
        index = next(following, None)
        next_item = None if index is None else files[index][0]
        session.config.hook.pytest_runtest_protocol(item=tests[-1], nextitem=next_item)
    plugins = session.config.pluginmanager
    plugins.getplugin("unraisableexception").pytest_unconfigure(session.config)
    connection.close()


def _indices(connection: Connection) -> Iterator[int]:
    """Ask for the next file whenever it is needed."""

    def ask() -> int | None:
        connection.send(_NEXT)
        index: int | None = connection.recv()
        return index

    return iter(functools.partial(ask), None)


def _become_worker(config: pytest.Config, connection: Connection, folder: Path) -> None:
    """Take what must not be shared with the other workers: the terminal, the captured output, the temporary folder."""
    plugins = config.pluginmanager
    plugins.unregister(name="terminalreporter")
    capture = plugins.getplugin("capturemanager")
    capture.stop_global_capturing()
    capture.start_global_capturing()
    folder.mkdir(mode=0o700)
    config._tmp_path_factory._basetemp = folder  # type: ignore[attr-defined]
    os.environ["PYTEST_XDIST_WORKER"] = folder.name
    plugins.register(_Sender(config, connection))
