"""New SQLite databases with the tables that the migrations create, without running the migrations for each of them.

They run once in a process, on a database in memory; every other new database is a copy of it. Databases that have
tables already, and those on a server, are migrated as usual.
"""

import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path

from sqlalchemy import Connection, create_engine, inspect

from llmos.core import revisions

run_migrations = revisions.migrate


def migrate_by_copy(connection: Connection) -> None:
    """Create the tables, in the transaction of the connection. Replaces migrate() of the revisions."""
    if connection.dialect.name != "sqlite" or inspect(connection).get_table_names():
        run_migrations(connection)
        return
    for statement in _migrated():
        connection.exec_driver_sql(statement)


@cache
def _migrated() -> tuple[str, ...]:
    """Return the statements that make a migrated database."""
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        run_migrations(connection)
    with engine.connect() as connection:
        migrated = connection.connection.driver_connection
        assert isinstance(migrated, sqlite3.Connection)
        statements = [each for each in migrated.iterdump() if each.startswith(("CREATE ", "INSERT "))]
    engine.dispose()
    # A row may refer to one of a table that is dumped after its own.
    return ("PRAGMA defer_foreign_keys = ON", *sorted(statements, key=lambda each: each.startswith("INSERT ")))


def put_database(path: Path) -> None:
    """Create a migrated database where there is none: all migrations take a second of the processor."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        for statement in _migrated():
            connection.execute(statement)
        connection.commit()
    path.chmod(0o600)
