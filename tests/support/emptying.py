"""Emptier: takes what a test left out of a PostgreSQL database, so that another test can use it.

To copy a template makes the server write 900 files, which takes half a second of a core. To empty takes some 20 ms.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

_FIRST_OID = 16384
"""The lowest number of what users create; that of PostgreSQL itself is lower."""

_END_SESSIONS = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s"
"""Waits until they have ended, and with that have counted the rows that they changed."""

_SCHEMA = "SELECT " + ", ".join(
    f"(SELECT array[count(*), sum(xmin::text::bigint)] FROM {table} WHERE {column} >= {_FIRST_OID})"
    for table, column in {
        "pg_attribute": "attrelid",
        "pg_class": "oid",
        "pg_constraint": "oid",
        "pg_proc": "oid",
        "pg_trigger": "oid",
    }.items()
)
"""Numbers that every change of the tables changes: the transactions that described them last."""

_TABLES = f"SELECT oid, oid::regclass::text FROM pg_class WHERE relkind = 'r' AND oid >= {_FIRST_OID}"
_CHANGED_TABLES = (
    f"{_TABLES} AND pg_stat_get_tuples_inserted(oid) + pg_stat_get_tuples_updated(oid)"
    " + pg_stat_get_tuples_deleted(oid) > 0"
)
_RESET_SEQUENCES = """
    SELECT setval(seqrelid::regclass, seqstart, false) FROM pg_sequence
    WHERE pg_sequence_last_value(seqrelid) IS NOT NULL
"""


class Emptier:
    """Empties databases that are copies of one template, which no transaction changes any more."""

    def __init__(self, connect: Callable[[str], "psycopg.Connection[Any]"], template: str) -> None:
        """`connect`: opens a connection of a superuser, with autocommit, to the database of this name."""
        self._connect = connect
        self._rows: dict[int, bytes] = {}
        """{table: the rows that the migrations put there, as COPY writes them}"""
        with connect(template) as connection:
            self._schema = connection.execute(_SCHEMA).fetchone()
            for oid, table in connection.execute(_TABLES).fetchall():
                with connection.cursor().copy(f"COPY {table} TO STDOUT") as copy:
                    if rows := b"".join(map(bytes, copy)):
                        self._rows[oid] = rows

    def empty(self, name: str) -> bool:
        """Bring a database without sessions to the state of the template.

        Return False if a test has changed the tables themselves.
        """
        with self._connect(name) as connection:
            if connection.execute(_SCHEMA).fetchone() != self._schema:
                return False
            changed = connection.execute(_CHANGED_TABLES).fetchall()
            with connection.transaction():
                connection.execute("SET LOCAL session_replication_role = replica")  # No foreign keys and no triggers.
                for oid, table in changed:
                    connection.execute(f"DELETE FROM {table}")
                    if rows := self._rows.get(oid):
                        with connection.cursor().copy(f"COPY {table} FROM STDIN") as copy:
                            copy.write(rows)
                connection.execute(_RESET_SEQUENCES)
            connection.execute("SELECT pg_stat_force_next_flush()")
            connection.execute("SELECT pg_stat_reset()")
        return True


def rename(administrator: "psycopg.Connection[Any]", name: str, new: str) -> bool:
    """End the sessions of a database, and rename it. Return False if another one began meanwhile.

    What a test forgot to stop knows the old name only, so that it can't write to the database of the next test.
    """
    from psycopg.errors import ObjectInUse

    administrator.execute(_END_SESSIONS, [name])
    try:
        administrator.execute(f"ALTER DATABASE {name} RENAME TO {new}")
    except ObjectInUse:
        return False
    return True


def can_empty(connection: "psycopg.Connection[Any]") -> bool:
    """Return whether the server and its user can do what an Emptier asks for."""
    is_superuser = connection.execute("SHOW is_superuser").fetchone() == ("on",)
    return is_superuser and connection.info.server_version >= 150000
