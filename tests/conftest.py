"""Fixtures for all tests."""

import fcntl
import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

# The workers of pytest-xdist have all cores already. More threads would only wait for one another, and spin meanwhile.
# This must precede the imports of numpy and torch.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

from llmos.core.database import Database
from llmos.models.transfer.transfers import Transfers
from support import examples, migrations
from support.certificates import write_certificate
from support.databases import KINDS, Databases
from support.fast_run import FastRun
from support.forked_workers import ForkedWorkers
from support.query_coverage import QueryCoverage

if TYPE_CHECKING:
    from xdist.scheduler import Scheduling

    from llmos.core.encryption.encryption import Encryption

# No deadline for an example: on a busy machine it says nothing about the code. The same examples in every run: a test
# that fails must fail again. `--random-examples` looks for others.
settings.register_profile("llmos", deadline=None, derandomize=True)
settings.register_profile("fast", parent=settings.get_profile("llmos"), max_examples=examples.MAX_EXAMPLES_FAST)
settings.register_profile("random", deadline=None)
settings.load_profile("llmos")

# Without byte code, each of the many processes that tests start would compile the whole package, and pytest all tests.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


_COVERAGE = pytest.StashKey[QueryCoverage]()
_MISSING = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fast", action="store_true", help="run only what needs no torch, process or database server")
    parser.addoption("--forks", type=int, default=1, help="run a fast run in so many processes")
    parser.addoption(
        "--screenshots",
        choices=["take", "compare"],
        help="take the screenshots of docs/images/console again, or compare the console with them",
    )
    parser.addoption("--random-examples", action="store_true", help="let hypothesis choose other examples in each run")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_COVERAGE] = QueryCoverage()
    if config.getoption("random_examples"):
        settings.load_profile("random")
    if config.getoption("fast"):
        examples.is_fast = True
        examples.try_no_constants_of_ours()
        settings.load_profile("fast")
        config.pluginmanager.register(FastRun())
        config.pluginmanager.register(ForkedWorkers(config.getoption("forks")))
    else:
        config.stash[_COVERAGE].listen()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Collect garbage rarely, and never look at what the test modules import: that took a third of the tests' time."""
    gc.disable()
    gc.set_threshold(50_000, 20, 20)
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> "Scheduling":
    """Give each file to one worker, and all files that talk to the real server to the same one."""
    from support.scheduling import ByServer

    return ByServer(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    node.config.stash[_COVERAGE].add(getattr(node, "workeroutput", {}).get("query_coverage", {}))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail a run of the whole suite in which a function ran statements on one kind of database only."""
    config = session.config
    if hasattr(config, "workeroutput"):
        config.workeroutput["query_coverage"] = config.stash[_COVERAGE].functions()
    elif exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) and _runs_all(config):
        config.stash[_MISSING] = config.stash[_COVERAGE].find_missing(KINDS)
        if config.stash[_MISSING]:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if functions := config.stash.get(_MISSING, []):
        terminalreporter.section("FAILED: some functions ran on one kind of database only", red=True)
        for sentence in functions:
            terminalreporter.line(sentence)


def _runs_all(config: pytest.Config) -> bool:
    options = ("keyword", "markexpr", "fast", "lf", "collectonly", "deselect", "ignore")
    return config.args_source is pytest.Config.ArgsSource.TESTPATHS and not any(
        config.getoption(name, False) for name in options
    )


@pytest.fixture(scope="session")
def certificate_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_certificate(tmp_path_factory.mktemp("certificate") / "certificate.pem")


@pytest.fixture
def one_certificate(certificate_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the HTTP clients that a test makes trust a single authority: to read all of them takes each client 20 ms."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate_path))
    monkeypatch.setattr("certifi.where", lambda: str(certificate_path))  # for clients that ignore the environment


@pytest.fixture(scope="session", autouse=True)
def _migrations_by_copy() -> Iterator[None]:
    """Run the migrations once, not for each new database."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("llmos.core.database.migrate", migrations.migrate_by_copy)
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_disks() -> Iterator[None]:
    """Let no file wait until it is on the disk, and keep little of the disk in reserve."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda handle: None)
        patch.setattr("os.fdatasync", lambda handle: None, raising=False)  # missing on macOS
        patch.setattr("llmos.core.reserve.MAX_BYTES", 1 << 16)
        yield


@pytest.fixture
def real_migrations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the migrations for each new database of a test about them."""
    monkeypatch.setattr("llmos.core.database.migrate", migrations.run_migrations)


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    databases = Databases(tmp_path_factory.mktemp("databases"))
    yield databases
    databases.close()


@pytest.fixture(scope="module", params=KINDS)
def database_kind(request: pytest.FixtureRequest) -> str:
    """The kinds of databases. A test that uses a database runs once for each kind."""
    kind: str = request.param
    return kind


@pytest.fixture
def database_url(databases: Databases, database_kind: str, tmp_path: Path) -> Iterator[str]:
    """The URL of a new database with empty tables."""
    with databases.create(database_kind, tmp_path / "database") as url:
        yield url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture
def encryption(database: Database, tmp_path: Path) -> "Encryption":
    from support.encryption import open_test_encryption

    return open_test_encryption(database, tmp_path)


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of the run share."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def smollm2_path(shared_folder: Path) -> Path:
    """The real model's GGUF file, pulled once through our own code (or named by LLMOS_TEST_SMOLLM2)."""
    named = os.environ.get("LLMOS_TEST_SMOLLM2")
    if named:
        return Path(named)
    from llmos.core.config import load_settings
    from llmos.models import open_registry

    with (shared_folder / "smollm2.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        home = os.environ.get("LLMOS_TEST_HOME") or str(shared_folder / "smollm2-home")
        registry = open_registry(load_settings({"LLMOS_HOME": home}))
        version = Transfers(registry).pull_from_catalog("smollm2")
        return next(path for name, path in registry.files(version).items() if name.endswith(".gguf"))
