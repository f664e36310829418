"""The database: SQLite in LLMOS_HOME, or the PostgreSQL database in LLMOS_DATABASE_URL.

    with database.transaction() as session:   # commits once, at the end; rolls back on any error
    with database.session() as session:       # reads

Knows no tables: each room declares its own on Base, and migrations/ is the history of all of them.

A SQLite database in a folder that can't be written is read from a copy in a temporary folder.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    Connection,
    DateTime,
    Dialect,
    MetaData,
    PoolProxiedConnection,
    TypeDecorator,
    create_engine,
    event,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError
from sqlalchemy.orm import DeclarativeBase, Session

from llmos.core.commits import Commits, PostgreSQLCommits, SQLiteCommits, counted_in_sqlite, notify_on_commit
from llmos.core.database_errors import disk_errors, disk_full, is_disk_full
from llmos.core.errors import BadRequest, Conflict, StoreFailed
from llmos.core.pool import ClosablePool, close_pool
from llmos.core.reserve import Reserve
from llmos.core.revisions import known_revisions, migrate, newest_revision, revision_of
from llmos.core.sqlite_connections import (
    BUSY_TIMEOUT_SECONDS,
    on_begin,
    on_connect,
    on_counting_connect,
    set_durability,
    use_wal,
)
from llmos.core.sqlite_files import copy_to_scratch, is_read_only, make_private, sqlite_path
from llmos.core.statements import PlainTransaction, connect

_log = logging.getLogger(__name__)

_COUNT_LOCK = 0x11306
_DURABLE_COUNT_LOCK = 0x11307
_WRITE_LOCK = 0x11305  # The key of PostgreSQL's advisory lock: an arbitrary number, the same in every process.
_READ_COMMITTED = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED"
"""So that the statements behind a lock see what was committed before it was free, whatever the server's default is."""

_PLAIN_COUNTING = f"{_READ_COMMITTED}; SET LOCAL synchronous_commit = off; SELECT pg_advisory_xact_lock({_COUNT_LOCK})"
_DURABLE_COUNTING = f"{_READ_COMMITTED}; SELECT pg_advisory_xact_lock({_DURABLE_COUNT_LOCK})"
_CONNECT_SECONDS = 10
_CLOSING_SECONDS = 1.0

_SQLITE_OPTIONS: dict[str, Any] = {"connect_args": {"timeout": BUSY_TIMEOUT_SECONDS}}
_FILE_OPTIONS: dict[str, Any] = {**_SQLITE_OPTIONS, "poolclass": ClosablePool}
_POSTGRESQL_OPTIONS: dict[str, Any] = {
    "poolclass": ClosablePool,
    "connect_args": {"connect_timeout": _CONNECT_SECONDS},
    "pool_pre_ping": True,  # The server may have restarted since a connection was last used.
}


class Time(TypeDecorator[datetime]):
    """A UTC timestamp. SQLite stores no time zone, so it is added when values are read."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """The base of all tables."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Database:
    """A database. Connects when it is first used, and may be shared between threads."""

    def __init__(self, url: str, *, discards_changes: bool = False) -> None:
        """`url`: an SQLAlchemy URL. `discards_changes`: of a read-only database, changes last until this object is
        closed, instead of being refused. Raises BadRequest for an unsupported URL."""
        try:
            self.url = make_url(url)
            self._path = sqlite_path(self.url)
            self._reserve = Reserve(self._path.with_name(f"{self._path.name}-reserve")) if self._path else None
            self.is_read_only = self._path is not None and is_read_only(self._path)
            self._refuses_changes = self.is_read_only and not discards_changes
            if self._path is not None and not self.is_read_only:
                make_private(self._path)
            opened = self.url
            if self.is_read_only:
                assert self._path is not None
                self._reserve, opened = None, self.url.set(database=str(copy_to_scratch(self, self._path)))
            self._engine = create_engine(opened, **self._engine_options())
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
            raise BadRequest(
                f"LLMOS_DATABASE_URL can't be used: {error}. Use sqlite:///PATH or postgresql+psycopg://USER@HOST/NAME.",
                param="LLMOS_DATABASE_URL",
            ) from error
        if self.is_sqlite:
            event.listen(self._engine, "connect", on_connect)
            event.listen(self._engine, "begin", on_begin)
            # A SQLite transaction that reads and later writes fails at once if another one wrote in between, despite
            # the busy timeout. A transaction that takes the write lock at its start waits instead.
            self._reading, self._writing = self._engine, self._engine.execution_options(sqlite_begin="IMMEDIATE")
            self._counting = self._engine
            if self._path is not None:
                # All that calls write goes through one connection. Each commit of another one would take from it the
                # pages that it has read.
                self._counting = create_engine(opened, **_FILE_OPTIONS, pool_size=1, max_overflow=0)
                event.listen(self._counting, "connect", on_connect)
                event.listen(self._counting, "connect", on_counting_connect)
                event.listen(self._counting, "begin", on_begin)
            self._commits: Commits = SQLiteCommits(str(opened.database))
        else:
            # PostgreSQL behaves the same with these settings: readers see one consistent state, and a writer waits for
            # the writer before it and sees its changes.
            self._reading = self._engine.execution_options(isolation_level="REPEATABLE READ")
            self._writing = self._engine.execution_options(isolation_level="READ COMMITTED")
            event.listen(self._writing, "begin", _lock_for_writing)
            event.listen(self._writing, "commit", notify_on_commit)
            self._counting = self._engine
            self._commits = PostgreSQLCommits(self._engine)
        self._counting_turn = threading.RLock()
        self._counting_connection: PoolProxiedConnection | None = None
        """SQLite's, while nobody counts."""
        self._is_closed = False
        self.before_commit: list[Callable[[Session], None]] = []
        """Called with the session of every transaction() before it commits. What they raise rolls it back."""

    @property
    def is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Open a session that reads one consistent state. Changes in it are discarded."""
        with disk_errors(self._path), Session(self._reading, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def transaction(self, *, frees_space: bool = False) -> Iterator[Session]:
        """Open a session that commits when the block ends and rolls back when it raises.

        `frees_space`: it removes something, or leads to that, so it works on a full disk, too. Raises StoreFailed where
        the disk is full or can't be written.
        """
        if self._refuses_changes:
            raise StoreFailed(
                f"{self._path} can't be written, so nothing can be changed. Check its owner and its disk."
            )
        with ExitStack() as held:
            if frees_space and self._reserve is not None:
                held.enter_context(self._reserve.lent())
            held.enter_context(disk_errors(self._path))
            if frees_space and self._reserve is not None:
                held.callback(self._shorten_log)
            session = held.enter_context(Session(self._writing, expire_on_commit=False))
            held.enter_context(session.begin())
            if self.is_sqlite:
                held.enter_context(counted_in_sqlite(session))
            yield session
            for add in self.before_commit:
                add(session)
        self._commits.count_own()

    @contextmanager
    def counting(self, *, is_durable: bool = False) -> Iterator[Session]:
        """Open a session for counts that many calls change. Those of all processes run one after another.

        Like transaction(), but state() stays, a power cut may lose the last commits unless `is_durable`, and on
        PostgreSQL no other writers wait.
        """
        with self._counted(is_durable=is_durable) as transaction:
            session = transaction.late_session(self._counting)
            try:
                yield session
                if session.in_transaction():
                    session.flush()
            except BaseException:
                transaction.roll_back()
                raise
            else:
                transaction.commit()
            finally:
                if session.in_transaction():
                    session.close()

    @contextmanager
    def _counted(self, *, is_durable: bool) -> Iterator[PlainTransaction]:
        """Begin to count, when nobody else does. Whoever gets the transaction ends it."""
        if not self.is_sqlite:
            with closing(connect(self._counting)) as connection:
                transaction = PlainTransaction(connection, self._counting.dialect)
                transaction.run_sql(_DURABLE_COUNTING if is_durable else _PLAIN_COUNTING)
                yield transaction
            return
        # SQLite lets a writer that has to wait sleep, for longer than most transactions take.
        with self._counting_turn, disk_errors(self._path):
            connection, self._counting_connection = self._counting_connection or connect(self._counting), None
            with ExitStack() as closed:
                closed.callback(connection.close)
                transaction = PlainTransaction(connection, self._counting.dialect)
                set_durability(transaction, connection.info, is_durable=is_durable)
                transaction.run_sql("BEGIN IMMEDIATE")
                yield transaction
                if self._path is not None and not self._is_closed:
                    self._counting_connection = connection  # It has ended well, and the next one goes on with it.
                    closed.pop_all()

    def counting_turn(self) -> AbstractContextManager[object]:
        """Wait until nobody else of this process counts, and let nobody count while the block runs.

        Whoever writes in groups takes what waits inside of it, and so what came while others counted, too. On
        PostgreSQL, where the database orders the transactions, nobody waits here.
        """
        return self._counting_turn if self.is_sqlite else nullcontext()

    def hold_counting(self, session: Session) -> None:
        """Let nobody count durably until the transaction of the session ends, and see what was counted before."""
        if not self.is_sqlite:
            _lock_for_durable_counting(session.connection())

    @contextmanager
    def plain_counting(self) -> Iterator[PlainTransaction]:
        """Open a transaction like counting(), for what every call does: without a session, it takes a tenth."""
        with self._counted(is_durable=False) as transaction:
            try:
                yield transaction
            except BaseException:
                transaction.roll_back()
                raise
            transaction.commit()

    def watch(self) -> None:
        """Start counting commits for state(). May wait for the network. Raises Unavailable."""
        with disk_errors(self._path):
            self._commits.watch()

    def state(self) -> int | None:
        """Return a number that every transaction() of any process changes, or None before watch(). Takes
        microseconds."""
        return self._commits.state()

    def upgrade(self) -> None:
        """Migrate the tables to the newest revision. Any number of processes may call it at once.

        Raises Conflict for a database that a newer LLMOS wrote, and StoreFailed where it can't be opened.
        """
        try:
            self._upgrade()
        except DatabaseError as error:
            if not is_disk_full(error, self._path):
                raise StoreFailed(
                    f"The database {self.url.render_as_string(hide_password=True)} can't be opened: {error.orig}."
                    " Check that it exists, that you may write to it, and that its disk isn't full."
                ) from error
            self._open_on_full_disk()
        if self._reserve is not None:
            self._reserve.keep()

    def _upgrade(self) -> None:
        if self._current() == newest_revision():
            return
        if self.is_sqlite:
            use_wal(self._engine)
        with self._writing.begin() as connection:
            self._check_not_newer(revision_of(connection))
            migrate(connection)

    def _open_on_full_disk(self) -> None:
        """Open the database with the space of the reserve. SQLite needs some, even to read."""
        self._engine.dispose()
        try:
            if self._reserve is None:
                raise disk_full(self._path)
            with self._reserve.lent():
                self._upgrade()  # The connection stays open, and with it the space.
        except DatabaseError as error:
            raise disk_full(self._path) from error

    def close(self) -> None:
        """Close all connections: those that threads still use when they return them."""
        self._commits.close()
        self._is_closed = True
        # A thread that is counting rows, perhaps for long, closes the connection itself when it has finished.
        if self._counting_turn.acquire(timeout=_CLOSING_SECONDS):
            connection, self._counting_connection = self._counting_connection, None
            self._counting_turn.release()
            if connection is not None:
                connection.close()
        close_pool(self._counting)
        close_pool(self._engine)

    def _engine_options(self) -> dict[str, Any]:
        if not self.is_sqlite:
            return _POSTGRESQL_OPTIONS
        return _FILE_OPTIONS if self._path else _SQLITE_OPTIONS

    def _current(self) -> str | None:
        with self._reading.connect() as connection:
            revision = revision_of(connection)
        self._check_not_newer(revision)
        return revision

    def _check_not_newer(self, revision: str | None) -> None:
        if revision is not None and revision not in known_revisions():
            raise Conflict(
                f"The database {self.url.render_as_string(hide_password=True)} was written by a newer LLMOS"
                f" (revision {revision}; this one knows up to {newest_revision()})."
                " Update LLMOS, or choose another LLMOS_HOME."
            )

    def _shorten_log(self) -> None:
        """Let SQLite write its log from the beginning again on a disk that is nearly full.

        Otherwise, the log grows with each change, and would use the reserve up.
        """
        assert self._reserve is not None
        if not self._reserve.is_short():
            return
        raw = self._engine.raw_connection()
        try:
            raw.cursor().execute("PRAGMA wal_checkpoint(PASSIVE)").close()
        except Exception:
            _log.debug("The log of %s can't be shortened", self._path, exc_info=True)
        finally:
            raw.close()


def _lock_for_writing(connection: Connection) -> None:
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITE_LOCK})")


def _lock_for_durable_counting(connection: Connection) -> None:
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_DURABLE_COUNT_LOCK})")
