"""Appending: the next version of a dataset, with some rows more than the newest one."""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from threading import Lock

from llmos.core.errors import BadRequest, Conflict, NewerVersion, NotFound
from llmos.data.datasets.datasets import ProjectDatasets
from llmos.data.datasets.rows import Row
from llmos.data.datasets.versions import DatasetVersion

_locks: defaultdict[tuple[str, str], Lock] = defaultdict(Lock)
"""One for each dataset that this process appends to, so that nobody's rows are lost between reading and writing.
Between processes, the number of the newest version is compared when the next one is listed."""

_TRIES = 5


def append_rows(
    datasets: ProjectDatasets, name: str, rows: Sequence[Row], *, source: str, actor: str | None = None
) -> DatasetVersion:
    """Make a version with the rows of the newest one and these behind them; the first one where there is none.

    A row whose content is in the newest version already is left out. Raises Conflict where that leaves none, and where
    the dataset has rows of another kind, and NewerVersion if other servers append all the time. `source`: where the
    rows come from.
    """
    if not rows:
        raise BadRequest("There is no row to append.", param="rows")
    with _locks[datasets.project, name]:
        for _ in range(_TRIES - 1):
            with suppress(NewerVersion):  # Another server has appended meanwhile: its rows come first.
                return _append(datasets, name, rows, source, actor)
        return _append(datasets, name, rows, source, actor)


def _append(
    datasets: ProjectDatasets, name: str, rows: Sequence[Row], source: str, actor: str | None
) -> DatasetVersion:
    last_number, newest = datasets.last_number(name), _newest(datasets, name)
    new = {row.id: row for row in rows}
    parents = [] if newest is None else [newest]
    with datasets.writing(
        name, rows[0].kind, source=source, parents=parents, actor=actor, last_number=last_number
    ) as writer:
        if newest is not None:
            for row in datasets.rows(newest):
                new.pop(row.id, None)
                writer.add(row)
            if not new:
                raise Conflict(f"{newest.ref} has these rows already.", param="name")
        for row in new.values():
            writer.add(row)
        writer.report["appended"] = len(new)
        return writer.finish()


def _newest(datasets: ProjectDatasets, name: str) -> DatasetVersion | None:
    try:
        return datasets.resolve(name)
    except NotFound:
        return None
