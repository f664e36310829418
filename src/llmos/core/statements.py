"""Statement: SQL that every call runs, compiled once and handed to the driver as it is.

SQLAlchemy takes a millisecond for what the database does in some microseconds, which is nothing for a person who lists
keys, and most of the time of a call that is counted, billed and receipted.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

import msgspec
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    Engine,
    Executable,
    Insert,
    PoolProxiedConnection,
    Table,
    any_,
    bindparam,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

Values = Mapping[str, Any]

_PLAIN, _LATE = "llmos_plain_transaction", "llmos_late_session"

_MAX_ROWS = 64
_MAX_VALUES = 30_000
"""SQLite takes 32,766 values in a statement."""


class Statement:
    """A statement for both kinds of databases.

    Example:
        _BUCKETS = Statement(lambda _: select(BucketRow.kind).where(BucketRow.scope == bindparam("scope")))
        rows = transaction.rows(_BUCKETS, scope="key:1")
    """

    def __init__(self, make: Callable[[str], Executable]) -> None:
        """`make`: returns the statement for "sqlite" or "postgresql". Its values have the names of bindparam("at"), or
        those of an INSERT's columns, without the one that the database numbers itself."""
        self._make = make
        self._compiled: dict[str, tuple[str, Sequence[str]]] = {}
        self._of_rows: dict[int, str | None] = {}

    def compiled(self, dialect: Dialect) -> tuple[str, Sequence[str]]:
        """Return the SQL, and the names of its values in their order, where it has them by position."""
        if (found := self._compiled.get(dialect.name)) is None:
            statement: Any = self._make(dialect.name)
            compiled = statement.compile(dialect=dialect, column_keys=_columns(statement))
            found = self._compiled[dialect.name] = str(compiled), compiled.positiontup or ()
        return found

    def of_rows(self, number: int, dialect: Dialect) -> str | None:
        """Return the SQL that inserts so many rows at once into SQLite; None for another statement."""
        if number not in self._of_rows:
            sql, names = self.compiled(dialect)
            values = f"VALUES ({', '.join('?' * len(names))})"
            is_insert = sql.startswith("INSERT") and sql.count("?") == len(names) and values in sql
            many = "VALUES " + ", ".join([values.removeprefix("VALUES ")] * number)
            self._of_rows[number] = sql.replace(values, many) if is_insert else None
        return self._of_rows[number]


class PlainTransaction:
    """A running transaction of the driver. Its errors are those of SQLAlchemy."""

    def __init__(self, connection: PoolProxiedConnection, dialect: Dialect) -> None:
        self._connection, self._dialect = connection, dialect
        self._cursor: Any = connection.cursor()
        self._driver: Any = dialect.loaded_dbapi

    @classmethod
    def of(cls, session: Session) -> "PlainTransaction":
        """Return that of a session, with the changes in it."""
        if isinstance(session, _LateSession):
            if session.in_transaction():
                session.flush()
            return session.plain
        if session.new or session.dirty or session.deleted:
            session.flush()
        # It takes as long to find as a short statement to run, and some transactions run a dozen.
        found: tuple[object, PlainTransaction] | None = session.info.get(_PLAIN)
        current = session.get_transaction()
        if found is None or found[0] is not current or current is None:
            connection = session.connection()
            plain = cls(connection.connection, connection.dialect)
            session.info[_PLAIN] = found = session.get_transaction(), plain
        return found[1]

    def late_session(self, engine: Engine) -> Session:
        """Return a session that takes part in the transaction from its first use on. Most transactions that count run
        statements of the driver alone.

        Whoever ends the transaction flushes the session before that, and closes it afterwards.
        """
        # To make one takes longer than most statements: a connection keeps that of its last transaction.
        kept = self._connection.info.get(_LATE)
        if kept is None or kept.in_transaction():
            kept = self._connection.info[_LATE] = _LateSession(engine)
        session: _LateSession = kept
        session.take_part(self._connection, self)
        return session

    def list_of(self, values: Iterable[str] | Iterable[int]) -> Any:
        """Return values as one value of a statement; see is_one_of()."""
        return msgspec.json.encode(list(values)).decode() if self._dialect.name == "sqlite" else list(values)

    def commit(self) -> None:
        try:
            self._connection.commit()
        except self._driver.Error as error:
            raise self._wrapped(error, "COMMIT") from error

    def roll_back(self) -> None:
        # It is called for an error, which must not be hidden by that of a connection that has ended.
        with suppress(self._driver.Error):
            self._connection.rollback()

    def rows(self, statement: Statement, **values: Any) -> list[tuple[Any, ...]]:
        """Run a statement, and return what it selects."""
        sql, names = statement.compiled(self._dialect)
        try:
            self._cursor.execute(sql, [values[name] for name in names] if names else values)
            found: list[tuple[Any, ...]] = self._cursor.fetchall()
        except self._driver.Error as error:
            raise self._wrapped(error, sql) from error
        return found

    def run(self, statement: Statement, rows: Sequence[Values]) -> None:
        """Run a statement once for each of the rows."""
        if not rows:
            return
        sql, names = statement.compiled(self._dialect)
        try:
            if self._dialect.name == "sqlite":
                for sql, values in self._parts(statement, rows):
                    self._cursor.execute(sql, values)
            else:
                self._cursor.executemany(sql, [[row[name] for name in names] for row in rows] if names else rows)
        except self._driver.Error as error:
            raise self._wrapped(error, sql) from error

    def run_returning(self, statement: Statement, rows: Sequence[Values]) -> list[tuple[Any, ...]]:
        """Run a statement once for each of the rows, and return what it returns for all of them."""
        sql, _ = statement.compiled(self._dialect)
        found: list[tuple[Any, ...]] = []
        try:
            if self._dialect.name == "sqlite":
                for sql, values in self._parts(statement, rows):
                    found += self._cursor.execute(sql, values).fetchall()
                return found
            self._cursor.executemany(sql, rows, returning=True)  # In one round trip.
            while True:
                found += self._cursor.fetchall()
                if not self._cursor.nextset():
                    return found
        except self._driver.Error as error:
            raise self._wrapped(error, sql) from error

    def _parts(self, statement: Statement, rows: Sequence[Values]) -> Iterator[tuple[str, list[Any]]]:
        """Yield (SQL, values), each for as many rows as one statement takes.

        Python gives its lock away for each row that SQLite is handed, and gets it back when another thread has had it:
        under load, that takes longer than the row. Parts have powers of two as lengths, so that few statements are
        prepared.
        """
        sql, names = statement.compiled(self._dialect)
        first, most = 0, min(_MAX_ROWS, _MAX_VALUES // max(1, len(names)))
        while first < len(rows):
            number = 1 << (min(len(rows) - first, most).bit_length() - 1)
            many = statement.of_rows(number, self._dialect) if number > 1 else sql
            if many is None:
                many, number = sql, 1
            yield many, [row[name] for row in rows[first : first + number] for name in names]
            first += number

    def run_sql(self, sql: str) -> None:
        try:
            self._cursor.execute(sql)
        except self._driver.Error as error:
            raise self._wrapped(error, sql) from error

    def _wrapped(self, error: Exception, sql: str) -> BaseException:
        return _wrapped(error, sql, self._dialect)


class _LateSession(Session):
    """See PlainTransaction.late_session()."""

    plain: PlainTransaction
    _raw: PoolProxiedConnection

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine, expire_on_commit=False)
        self._engine = engine
        self._bound: Connection | None = None

    def take_part(self, connection: PoolProxiedConnection, plain: PlainTransaction) -> None:
        """Belong to a transaction that has begun."""
        self._raw, self.plain, self._bound = connection, plain, None

    def get_bind(self, *_: Any, **__: Any) -> Connection:
        if self._bound is None:
            self._bound = Connection(self._engine, self._raw)
        return self._bound


def connect(engine: Engine) -> PoolProxiedConnection:
    """Return a connection of the driver. Raises errors of SQLAlchemy."""
    driver: Any = engine.dialect.loaded_dbapi
    try:
        return engine.raw_connection()
    except driver.Error as error:
        raise _wrapped(error, "", engine.dialect) from error


def _wrapped(error: Exception, sql: str, dialect: Dialect) -> BaseException:
    """Return an error of the driver as SQLAlchemy raises it."""
    driver: Any = dialect.loaded_dbapi
    return DBAPIError.instance(sql, None, error, driver.Error, dialect=dialect)


def is_one_of(dialect: str, column: Any, name: str) -> ColumnElement[bool]:
    """Return the condition that a column has one of the values that PlainTransaction.list_of() gives."""
    if dialect == "sqlite":
        return cast(
            ColumnElement[bool],
            column.in_(select(literal_column("value")).select_from(func.json_each(bindparam(name)))),
        )
    return cast(ColumnElement[bool], column == any_(bindparam(name, type_=ARRAY(column.type))))


def insert_into(dialect: str, table: Table) -> Any:
    """Return an INSERT that can say what becomes of rows that there are already."""
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)


def _columns(statement: Executable) -> list[str] | None:
    """Return the columns that an INSERT gives values for."""
    if not isinstance(statement, Insert):
        return None
    table: Any = statement.table
    return [each.name for each in table.columns if each is not table.autoincrement_column]
