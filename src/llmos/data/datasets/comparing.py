"""Compares two versions: which rows went, came or were replaced, and why, as far as the newer one records it.

duckdb compares the ids in the segments, so that memory doesn't depend on the number of rows.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from llmos.core.errors import BadRequest
from llmos.core.store.store import Store
from llmos.data.datasets.columnar import open_columnar
from llmos.data.datasets.sealed_sources import lend_files
from llmos.data.datasets.versions import DatasetVersion

MAX_SHOWN = 1000
"""The most rows that a comparison names in each direction."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangedRow:
    """A row that only one of the versions has."""

    id: str
    content: str
    """Canonical JSON."""
    origin: str | None
    operator: str | None = None
    """The operator that dropped or replaced it, where the newer version records that."""
    reason: str | None = None
    detail: str | None = None
    successor: str | None = None
    """The id of the row that took its place; None: it was dropped."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Rows are compared by their ids: a row that stands twice in both versions is in both."""

    num_same: int
    """The different rows that both have."""
    num_removed: int
    num_added: int
    removed: Sequence[ChangedRow] = field(default_factory=list)
    """The first ones that only the older version has."""
    added: Sequence[ChangedRow] = field(default_factory=list)
    """The first ones that only the newer version has."""


def compare(store: Store, older: DatasetVersion, newer: DatasetVersion, limit: int = 20) -> Comparison:
    """Return what differs from the older to the newer version. `limit`: the most rows to name in each direction."""
    with ExitStack() as held:
        held.enter_context(_memory_errors())
        connection = held.enter_context(open_columnar())

        def listed(version: DatasetVersion, role: str) -> str:
            paths = [store.blob_path(each.blob) for each in version.segments if each.role == role]
            return f"[{', '.join(map(_quoted, held.enter_context(lend_files(connection, paths))))}]"

        for name, version in (("older", older), ("newer", newer)):
            source = f"read_parquet({listed(version, 'rows')})"
            connection.execute(f"CREATE TEMP VIEW {name} AS SELECT id, content, origin FROM {source}")  # noqa: S608
        changes = listed(newer, "changes")
        empty = "SELECT NULL::BLOB AS id, '' AS operator, '' AS reason, '' AS detail, '' AS successor WHERE false"
        known = f"SELECT * FROM read_parquet({changes})" if changes != "[]" else empty  # noqa: S608
        connection.execute(f"CREATE TEMP VIEW changes AS {known}")

        def count(sql: str) -> int:
            return int(connection.execute(sql).fetchall()[0][0])

        def first(sql: str) -> list[ChangedRow]:
            found = connection.execute(sql, [min(limit, MAX_SHOWN)])
            names = [column[0] for column in found.description or ()]
            return [ChangedRow(**dict(zip(names, row, strict=True))) for row in found.fetchall()]

        only = "SELECT count(DISTINCT id) FROM {} WHERE id NOT IN (SELECT id FROM {})"
        return Comparison(
            num_same=count("SELECT count(DISTINCT id) FROM older WHERE id IN (SELECT id FROM newer)"),
            num_removed=count(only.format("older", "newer")),
            num_added=count(only.format("newer", "older")),
            removed=first(
                "SELECT lower(hex(o.id)) AS id, any_value(o.content) AS content, any_value(o.origin) AS origin,"
                " any_value(c.operator) AS operator, any_value(c.reason) AS reason, any_value(c.detail) AS detail,"
                " any_value(c.successor) AS successor FROM older o LEFT JOIN changes c USING (id)"
                " WHERE o.id NOT IN (SELECT id FROM newer) GROUP BY o.id ORDER BY o.id LIMIT ?"
            ),
            added=first(
                "SELECT lower(hex(id)) AS id, any_value(content) AS content, any_value(origin) AS origin FROM newer"
                " WHERE id NOT IN (SELECT id FROM older) GROUP BY id ORDER BY id LIMIT ?"
            ),
        )


@contextmanager
def _memory_errors() -> Iterator[None]:
    """Raise BadRequest for versions whose ids need too much memory."""
    import duckdb

    try:
        yield
    except duckdb.OutOfMemoryException:
        raise BadRequest("These versions have too many rows to be compared here. Compare parts of them.") from None


def _quoted(path: str) -> str:
    return "'" + path.replace("'", "''") + "'"
