"""Spans: when a project has which version of which plan.

assignments   ├── team ─────────────┼── none ──┤
versions      ├ team@1 ─┼ team@2 ───────
spans         ├ team@1 ─┼ team@2 ──┼          ┤
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from sqlalchemy.orm import Session

from llmos.billing.dated import valid_at
from llmos.billing.limits import FOREVER
from llmos.billing.plans import queries
from llmos.billing.plans.plan import Plan, read_plan
from llmos.billing.plans.tables import PlanAssignmentRow, PlanRow


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanSpan:
    """One version of a plan, from `first` up to before `end`, in seconds since 1970."""

    project: str
    plan: Plan
    assignment: int
    """Its number."""
    first: int
    end: int
    """FOREVER: until something changes."""


class PlanTable:
    """The plans of all projects at one moment. Any thread may use it."""

    def __init__(self, spans: Mapping[str, Sequence[PlanSpan]]) -> None:
        self.by_project = spans

    @classmethod
    def read(cls, session: Session) -> "PlanTable":
        plans: dict[str, list[Plan]] = {}
        for row in queries.plans(session):
            plans.setdefault(row.name, []).append(plan_of(row))
        assigned: dict[str, list[PlanAssignmentRow]] = {}
        for each in queries.assignments(session):
            assigned.setdefault(each.project, []).append(each)
        return cls({project: _spans(rows, plans) for project, rows in assigned.items()})

    def spans(self, project: str) -> Sequence[PlanSpan]:
        return self.by_project.get(project, ())

    def at(self, project: str, at: int) -> PlanSpan | None:
        """Return the span that a time is in; None: the project has no plan then."""
        return next((each for each in self.spans(project) if each.first <= at < each.end), None)

    def all(self) -> Iterable[PlanSpan]:
        return (span for spans in self.by_project.values() for span in spans)


def plan_at(session: Session, name: str, at: int) -> Plan:
    """Return the version of a plan that applies at a time; before its first one, the first. Raises NotFound."""
    plans = [plan_of(row) for row in queries.existing_versions(session, name)]
    return valid_at(plans, at) or plans[-1]


def plan_of(row: PlanRow) -> Plan:
    return replace(read_plan(json.loads(row.document)), version=row.version, valid_from=row.valid_from)


def _spans(assigned: Sequence[PlanAssignmentRow], plans: Mapping[str, Sequence[Plan]]) -> Sequence[PlanSpan]:
    starts = {each.valid_from for each in assigned}
    starts |= {plan.valid_from for each in assigned for plan in plans.get(each.plan or "", ())}
    spans: list[PlanSpan] = []
    for first, end in pairwise([*sorted(starts), FOREVER]):
        current = valid_at(assigned, first)
        plan = None if current is None else valid_at(plans.get(current.plan or "", ()), first)
        if current is not None and plan is not None:
            spans.append(PlanSpan(project=current.project, plan=plan, assignment=current.number, first=first, end=end))
    return _joined(spans)


def _joined(spans: Sequence[PlanSpan]) -> Sequence[PlanSpan]:
    """Join neighbours that differ in nothing but their times."""
    joined: list[PlanSpan] = []
    for span in spans:
        last = joined[-1] if joined else None
        if last is not None and (last.end, last.plan, last.assignment) == (span.first, span.plan, span.assignment):
            joined[-1] = replace(last, end=span.end)
        else:
            joined.append(span)
    return joined
