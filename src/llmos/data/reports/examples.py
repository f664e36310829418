"""Examples of the rows that a recipe left out, with the texts that they had in the parents."""

from collections.abc import Callable, Sequence

from llmos.core.schemas.dataset_cleaning import LeftOutRow
from llmos.data.datasets.columnar import open_columnar
from llmos.data.datasets.contents import decode_content, texts_of
from llmos.data.datasets.datasets import ProjectDatasets
from llmos.data.datasets.sealed_sources import lend_files
from llmos.data.datasets.versions import DatasetVersion

_NUM_EXAMPLES = 3
_MAX_REASONS = 50
"""The reasons of which examples are looked up."""

_SHOWN_CHARACTERS = 300

Reason = tuple[str, str]
"""(operator, reason)."""


def left_out_examples(
    datasets: ProjectDatasets, version: DatasetVersion, reasons: Sequence[Reason], mask: Callable[[str], str]
) -> dict[Reason, list[LeftOutRow]]:
    """Return a few rows of each reason. The text of a row is empty where the project has no longer the parent."""
    found = {reason: _dropped(datasets, version, reason) for reason in reasons[:_MAX_REASONS]}
    texts = _texts(datasets, version, [id for rows in found.values() for id, _ in rows])
    return {
        reason: [
            LeftOutRow(id=id, text=mask(texts.get(id, ""))[:_SHOWN_CHARACTERS], detail=detail and mask(detail))
            for id, detail in found.get(reason, [])
        ]
        for reason in reasons
    }


def _dropped(datasets: ProjectDatasets, version: DatasetVersion, reason: Reason) -> list[tuple[str, str | None]]:
    """Return (id, detail) of the first rows that were left out for a reason."""
    paths = datasets.paths(version, "changes")
    if not paths:
        return []
    query = (
        "SELECT lower(hex(id)), detail FROM read_parquet(?) WHERE operator = ? AND reason = ? AND successor IS NULL"
        " ORDER BY id LIMIT ?"
    )
    with open_columnar() as connection, lend_files(connection, paths) as files:
        found: list[tuple[str, str | None]] = connection.execute(query, [files, *reason, _NUM_EXAMPLES]).fetchall()
        return found


def _texts(datasets: ProjectDatasets, version: DatasetVersion, ids: Sequence[str]) -> dict[str, str]:
    """Return the texts of the parents' rows with these ids."""
    parents = [each for each in datasets.list() if each.digest in version.parents]
    paths = [path for parent in parents for path in datasets.paths(parent, "rows")]
    if not paths or not ids:
        return {}
    query = "SELECT lower(hex(id)), content FROM read_parquet(?) WHERE list_contains(?, lower(hex(id)))"
    with open_columnar() as connection, lend_files(connection, paths) as files:
        rows = connection.execute(query, [files, list(ids)]).fetchall()
    return {id: "\n".join(texts_of(decode_content(version.kind, content.encode()))) for id, content in rows}
