"""Statement: SQL that every call runs, compiled once and handed to the driver as it is.

SQLAlchemy takes a millisecond for what the database does in some microseconds, which is nothing for a person who lists
keys, and most of the time of a call that is counted, billed and receipted.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Executable, Insert, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

Values = Mapping[str, Any]

_PLAIN = "llmos_plain_transaction"


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

    def compiled(self, dialect: Dialect) -> tuple[str, Sequence[str]]:
        """Return the SQL, and the names of its values in their order, where it has them by position."""
        if (found := self._compiled.get(dialect.name)) is None:
            statement: Any = self._make(dialect.name)
            compiled = statement.compile(dialect=dialect, column_keys=_columns(statement))
            found = self._compiled[dialect.name] = str(compiled), compiled.positiontup or ()
        return found


class PlainTransaction:
    """A running transaction of the driver. Its errors are those of SQLAlchemy."""

    def __init__(self, cursor: Any, dialect: Dialect) -> None:
        self._cursor, self._dialect = cursor, dialect

    @classmethod
    def of(cls, session: Session) -> "PlainTransaction":
        """Return that of a session, with the changes in it."""
        if session.new or session.dirty or session.deleted:
            session.flush()
        # It takes as long to find as a short statement to run, and some transactions run a dozen.
        found: tuple[object, PlainTransaction] | None = session.info.get(_PLAIN)
        current = session.get_transaction()
        if found is None or found[0] is not current or current is None:
            connection = session.connection()
            plain = cls(connection.connection.cursor(), connection.dialect)
            session.info[_PLAIN] = found = session.get_transaction(), plain
        return found[1]

    def rows(self, statement: Statement, **values: Any) -> list[tuple[Any, ...]]:
        """Run a statement, and return what it selects."""
        sql, names = statement.compiled(self._dialect)
        with self._errors(sql):
            self._cursor.execute(sql, [values[name] for name in names] if names else values)
            found: list[tuple[Any, ...]] = self._cursor.fetchall()
        return found

    def run(self, statement: Statement, rows: Sequence[Values]) -> None:
        """Run a statement once for each of the rows."""
        sql, names = statement.compiled(self._dialect)
        with self._errors(sql):
            self._cursor.executemany(sql, [[row[name] for name in names] for row in rows] if names else rows)

    def run_returning(self, statement: Statement, rows: Sequence[Values]) -> list[tuple[Any, ...]]:
        """Run a statement once for each of the rows, and return what it returns for all of them."""
        sql, names = statement.compiled(self._dialect)
        found: list[tuple[Any, ...]] = []
        with self._errors(sql):
            if self._dialect.name == "sqlite":
                for row in rows:
                    found += self._cursor.execute(sql, [row[name] for name in names]).fetchall()
                return found
            self._cursor.executemany(sql, rows, returning=True)  # In one round trip.
            while True:
                found += self._cursor.fetchall()
                if not self._cursor.nextset():
                    return found

    def run_sql(self, sql: str) -> None:
        with self._errors(sql):
            self._cursor.execute(sql)

    @contextmanager
    def _errors(self, sql: str) -> Iterator[None]:
        driver: Any = self._dialect.loaded_dbapi
        try:
            yield
        except driver.Error as error:
            raise DBAPIError.instance(sql, None, error, driver.Error, dialect=self._dialect) from error


def insert_into(dialect: str, table: Table) -> Any:
    """Return an INSERT that can say what becomes of rows that there are already."""
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)


def _columns(statement: Executable) -> list[str] | None:
    """Return the columns that an INSERT gives values for."""
    if not isinstance(statement, Insert):
        return None
    table: Any = statement.table
    return [each.name for each in table.columns if each is not table.autoincrement_column]
