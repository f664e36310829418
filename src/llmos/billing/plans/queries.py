"""Queries of plans. None commits: the public functions of the room do."""

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from llmos.billing.plans.tables import PlanAssignmentRow, PlanRow
from llmos.billing.tables import PriceBookRow
from llmos.core.errors import NotFound
from llmos.core.statements import PlainTransaction, Statement
from llmos.core.suggest import nearest


def plans(session: Session, name: str | None = None) -> Sequence[PlanRow]:
    """Return every version, or every one of a plan, newest first."""
    statement = select(PlanRow).order_by(PlanRow.name, PlanRow.version.desc())
    return session.scalars(statement if name is None else statement.where(PlanRow.name == name)).all()


def existing_versions(session: Session, name: str) -> Sequence[PlanRow]:
    """Return the versions of a plan, newest first. Raises NotFound, with the nearest name."""
    rows = plans(session, name) if name.isprintable() else ()
    if not rows:
        near = nearest(name, sorted({row.name for row in plans(session)}), 1)
        hint = f"Did you mean {near[0]}?" if near else "To set one: llmos billing-plan set FILE"
        raise NotFound(f"There is no plan {name[:80]!r}. {hint}", param="name")
    return rows


def assignments(session: Session, project: str | None = None) -> Sequence[PlanAssignmentRow]:
    """Return the assignments of all projects, or of one, in the order in which they were made."""
    statement = select(PlanAssignmentRow).order_by(PlanAssignmentRow.number)
    return session.scalars(
        statement if project is None else statement.where(PlanAssignmentRow.project == project)
    ).all()


_NEWEST = Statement(
    lambda _: select(
        *(
            select(func.max(each)).scalar_subquery()
            for each in (PriceBookRow.version, PlanRow.number, PlanAssignmentRow.number)
        )
    )
)


def newest_numbers(session: Session) -> tuple[int, ...]:
    """Return the numbers of the newest prices, version of a plan, and assignment; 0 if there is none."""
    (newest,) = PlainTransaction.of(session).rows(_NEWEST)
    return tuple(number or 0 for number in newest)
