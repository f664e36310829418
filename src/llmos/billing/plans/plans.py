"""Plans: sets versions of plans, and gives them to projects."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from llmos.billing import limit_queries
from llmos.billing.dated import read_valid_from, valid_at
from llmos.billing.limit_book import LimitBook
from llmos.billing.limits import FOREVER
from llmos.billing.plans import queries
from llmos.billing.plans.plan import read_plan
from llmos.billing.plans.spans import PlanSpan, PlanTable, plan_of
from llmos.billing.plans.tables import PlanAssignmentRow, PlanRow
from llmos.billing.plans.uses import describe_use
from llmos.billing.price_books import add_book, general_books, read_books, texts_of
from llmos.core.actions import describe_action
from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.errors import BadRequest, Conflict, NotFound
from llmos.core.money import format_nanos
from llmos.core.schemas.plans import PlanAssignment, PlanDescription, PlanProject

CheckProject = Callable[[str], object]
"""Raises NotFound."""


class Plans:
    """Any thread may use it."""

    def __init__(
        self,
        database: Database,
        book: LimitBook | None = None,
        *,
        check_project: CheckProject = lambda name: None,
        clock: Clock = utc_now,
    ) -> None:
        """`book`: forgets the limits when plans change."""
        self._database, self._book, self._check_project, self._clock = database, book, check_project, clock

    def set(self, document: Any, *, actor: str = "") -> PlanDescription:
        """Add a version of a plan, which applies from a time on that isn't in the past. Raises BadRequest."""
        plan, now = read_plan(document), self._clock()
        row = PlanRow(
            name=plan.name,
            valid_from=read_valid_from(document.get("from"), now, "A plan applies to calls from now on."),
            document=json.dumps(texts_of({key: each for key, each in document.items() if key != "from"})),
            created_at=now,
            created_by=actor,
        )
        with self._database.transaction() as session:
            self._database.hold_counting(session)
            limit_queries.count_limit_change(session)
            versions = queries.plans(session, plan.name)
            if versions and plan_of(versions[0]).currency != plan.currency:
                raise BadRequest(
                    f"The plan {plan.name} is in {plan_of(versions[0]).currency}. Choose another name for one in"
                    f" {plan.currency}.",
                    param="currency",
                )
            row.version = 1 + max((each.version for each in versions), default=0)
            if plan.has_prices:
                add_book(session, document, row.valid_from, now=now, actor=actor, plan=(plan.name, row.version))
            session.add(row)
            describe_action(plan.name, version=row.version)
        self._forget()
        return self.get(plan.name, row.version)

    def list(self, project: str | None = None) -> Sequence[PlanDescription]:
        """Return the newest version of each plan. `project`: only plans that this one has or had, without others'."""
        with self._database.session() as session:
            rows = {row.name: row for row in reversed(queries.plans(session))}
            table = PlanTable.read(session)
            names = rows.keys() if project is None else {each.plan.name for each in table.spans(project)}
            return [self._described(session, rows[name], table, project) for name in sorted(names)]

    def get(self, name: str, version: int | None = None, *, project: str | None = None) -> PlanDescription:
        """Return a version of a plan; by default the one that applies now, or else the newest. Raises NotFound."""
        with self._database.session() as session:
            table = PlanTable.read(session)
            if project is not None and name not in {each.plan.name for each in table.spans(project)}:
                raise NotFound(f"There is no plan {name[:80]!r}. To see all: llmos billing-plan list", param="name")
            rows = queries.existing_versions(session, name)
            if version is None:
                now = valid_at([plan_of(row) for row in rows], int(self._clock().timestamp()))
                version = rows[0].version if now is None else now.version
            row = next((each for each in rows if each.version == version), None)
            if row is None:
                raise NotFound(f"The plan {name} has no version {version}; the newest is {rows[0].version}.")
            return self._described(session, row, table, project)

    def assign(
        self, name: str | None, project: str, *, valid_from: str | None = None, actor: str = ""
    ) -> PlanAssignment:
        """Give a project a plan, or none, from a time on that isn't in the past.

        Raises NotFound, and BadRequest for a plan that doesn't apply by then or is in another currency than the prices.
        """
        self._check_project(project)
        now = self._clock()
        start = read_valid_from(valid_from, now, "A plan applies to calls from now on.")
        row = PlanAssignmentRow(project=project, plan=name, valid_from=start, created_at=now, created_by=actor)
        with self._database.transaction() as session:
            self._database.hold_counting(session)
            limit_queries.count_limit_change(session)
            if name is not None:
                self._check_usable(session, name, start)
            elif not PlanTable.read(session).at(project, start):
                raise Conflict(
                    f"The project {project} has no plan then. To see all: llmos billing-plan list", param="project"
                )
            session.add(row)
            session.flush()
            describe_action(name or "", project=project, valid_from=_moment(start).isoformat())
        self._forget()
        return PlanAssignment(
            project=project, plan=name or "", valid_from=_moment(start), created_at=now, created_by=actor
        )

    def _check_usable(self, session: Session, name: str, start: int) -> None:
        plan = valid_at([plan_of(row) for row in queries.existing_versions(session, name)], start)
        if plan is None:
            raise BadRequest(f"The plan {name} doesn't apply on {_moment(start):%Y-%m-%d} yet. Give a later `from`.")
        counts_money = (
            plan.kind == "prepaid" or plan.included_spend or any(each.unit == "money" for each in plan.limits)
        )
        book = None if plan.has_prices else valid_at(general_books(read_books(session)), start)
        if counts_money and book is not None and book.currency != plan.currency:
            raise BadRequest(
                f"The prices are in {book.currency}, and the plan {name} counts {plan.currency}, so it would count"
                f" nothing. Set a plan in {book.currency}, or one with `prices` of its own.",
                param="name",
            )

    def _forget(self) -> None:
        if self._book is not None:
            self._book.forget()

    def _described(self, session: Session, row: PlanRow, table: PlanTable, project: str | None) -> PlanDescription:
        plan, document, now = plan_of(row), json.loads(row.document), int(self._clock().timestamp())
        books = read_books(session) if plan.has_prices else ()
        own = [each.version for each in books if (each.plan, each.plan_version) == (plan.name, plan.version)]
        spans = [
            span
            for span in table.all()
            if (span.plan.name, span.plan.version) == (plan.name, plan.version)
            and span.end > now
            and project in (None, span.project)
        ]
        return PlanDescription(
            name=plan.name,
            version=plan.version,
            valid_from=_moment(plan.valid_from),
            kind=plan.kind,
            currency=plan.currency,
            monthly_fee=format_nanos(plan.monthly_fee),
            included=document.get("included") or {},
            prices=document.get("prices"),
            price_version=own[0] if own else None,
            limits=document.get("limits") or [],
            alerts=list(plan.alerts),
            projects=[_project(session, span, now) for span in sorted(spans, key=lambda span: span.project)],
            created_at=row.created_at,
            created_by=row.created_by,
        )


def _project(session: Session, span: PlanSpan, now: int) -> PlanProject:
    limits, alerts = describe_use(session, span, now)
    return PlanProject(
        project=span.project,
        valid_from=_moment(span.first),
        valid_until=None if span.end == FOREVER else _moment(span.end),
        limits=limits,
        alerts=alerts,
    )


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
