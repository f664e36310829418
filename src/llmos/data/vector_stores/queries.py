"""Queries of vector stores. None commits: the public functions of the room do."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, delete, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from llmos.data.tables import FileRow
from llmos.data.vector_stores.tables import VectorStoreBatchRow, VectorStoreFileRow, VectorStoreRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The part of a list that is wanted. Positions are the numbers of rows."""

    limit: int
    newest_first: bool = True
    after: int | None = None
    before: int | None = None


def store(session: Session, project: str, id: str, *, lock: bool = False) -> VectorStoreRow | None:
    """Return the project's vector store with this id. Those of other projects don't exist for it."""
    if not id.isprintable():
        return None  # PostgreSQL rejects text with a NUL, and no id contains one.
    statement = select(VectorStoreRow).where(VectorStoreRow.id == id, VectorStoreRow.project == project)
    return session.scalars(statement.with_for_update() if lock else statement).one_or_none()


def stores_of(session: Session, project: str) -> Sequence[VectorStoreRow]:
    return session.scalars(select(VectorStoreRow).where(VectorStoreRow.project == project)).all()


def stores(session: Session, project: str, window: Window) -> Sequence[VectorStoreRow]:
    """Return one row more than the window has, if there is one."""
    return _part(
        session, select(VectorStoreRow).where(VectorStoreRow.project == project), VectorStoreRow.number, window
    )


def batch(session: Session, store: int, id: str) -> VectorStoreBatchRow | None:
    if not id.isprintable():
        return None
    statement = select(VectorStoreBatchRow).where(VectorStoreBatchRow.store == store, VectorStoreBatchRow.id == id)
    return session.scalars(statement).one_or_none()


def file(session: Session, store: int, file_id: str) -> VectorStoreFileRow | None:
    if not file_id.isprintable():
        return None
    statement = select(VectorStoreFileRow).where(VectorStoreFileRow.store == store, VectorStoreFileRow.file == file_id)
    return session.scalars(statement).one_or_none()


def files(
    session: Session, store: int, window: Window, *, batch: int | None = None, status: str | None = None
) -> Sequence[VectorStoreFileRow]:
    """Return one row more than the window has, if there is one."""
    statement = select(VectorStoreFileRow).where(*_conditions(store, batch, status))
    return _part(session, statement, VectorStoreFileRow.number, window)


def existing_files(session: Session, store: int) -> Sequence[VectorStoreFileRow]:
    """Return the files of a vector store that weren't deleted in /v1/files, such as by the project's retention."""
    statement = (
        select(VectorStoreFileRow)
        .join(FileRow, FileRow.id == VectorStoreFileRow.file)
        .where(VectorStoreFileRow.store == store)
    )
    return session.scalars(statement.order_by(VectorStoreFileRow.number)).all()


def files_in_progress(session: Session, store: int, *, batch: int | None = None) -> Sequence[VectorStoreFileRow]:
    return session.scalars(select(VectorStoreFileRow).where(*_conditions(store, batch, "in_progress"))).all()


def stores_with_file(session: Session, project: str, file_id: str) -> Sequence[VectorStoreRow]:
    """Return the vector stores of a project that have a file."""
    statement = (
        select(VectorStoreRow)
        .join(VectorStoreFileRow, VectorStoreFileRow.store == VectorStoreRow.number)
        .where(VectorStoreRow.project == project, VectorStoreFileRow.file == file_id)
    )
    return session.scalars(statement).all()


def counts(
    session: Session, stores: Collection[int], *, batch: int | None = None
) -> Mapping[int, Mapping[str, tuple[int, int]]]:
    """Return {vector store: {status: (number of files, their usage in bytes)}}."""
    condition: list[ColumnElement[bool]] = [VectorStoreFileRow.store.in_(stores)]
    if batch is not None:
        condition.append(VectorStoreFileRow.batch == batch)
    statement = (
        select(
            VectorStoreFileRow.store,
            VectorStoreFileRow.status,
            func.count(),
            func.coalesce(func.sum(VectorStoreFileRow.usage_bytes), 0),
        )
        .where(*condition)
        .group_by(VectorStoreFileRow.store, VectorStoreFileRow.status)
    )
    found: dict[int, dict[str, tuple[int, int]]] = {}
    for number, status, count, usage in session.execute(statement):
        found.setdefault(number, {})[status] = (count, int(usage))
    return found


def remove_file(session: Session, store: int, file_id: str) -> None:
    session.execute(
        delete(VectorStoreFileRow).where(VectorStoreFileRow.store == store, VectorStoreFileRow.file == file_id)
    )


def remove_contents(session: Session, store: int) -> None:
    """Delete the files and batches of a vector store from it."""
    for kind in (VectorStoreFileRow, VectorStoreBatchRow):
        session.execute(delete(kind).where(kind.store == store))


def _conditions(store: int, batch: int | None, status: str | None) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [VectorStoreFileRow.store == store]
    if batch is not None:
        conditions.append(VectorStoreFileRow.batch == batch)
    if status is not None:
        conditions.append(VectorStoreFileRow.status == status)
    return conditions


def _part(
    session: Session, statement: Select[Any], number: InstrumentedAttribute[int], window: Window
) -> Sequence[Any]:
    """Return the rows of a window, and one more if there is one: at the end, or with `before` at the beginning."""
    newest_first, is_backwards = window.newest_first, window.before is not None and window.after is None
    if window.after is not None:
        statement = statement.where(number < window.after if newest_first else number > window.after)
    if window.before is not None:
        statement = statement.where(number > window.before if newest_first else number < window.before)
    is_descending = newest_first != is_backwards
    statement = statement.order_by(number.desc() if is_descending else number.asc()).limit(window.limit + 1)
    rows = session.scalars(statement).all()
    return rows[::-1] if is_backwards else rows
