"""Usage, prices, budgets, plans, prepaid credit, and the entries of the ledger."""

import builtins
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Unpack
from uuid import uuid4

from llmos.client import billing_calls as calls
from llmos.client.control import Noun
from llmos.core.schemas.budgets import BudgetDescription, BudgetFields
from llmos.core.schemas.credit import CreditDescription
from llmos.core.schemas.ledger import LedgerEntryDescription
from llmos.core.schemas.ledger_verification import LedgerVerification
from llmos.core.schemas.plans import PlanAssignment, PlanDescription
from llmos.core.schemas.prices import PriceBookDescription, PriceExample
from llmos.core.schemas.usage import UsageReport


class Plans(Noun):
    """Plans: how projects pay."""

    def set(self, document: Mapping[str, Any]) -> PlanDescription:
        """Add a version of a plan: an object with name, kind, currency, and what docs/billing.md lists."""
        return self._client._request(calls.set_plan(document))

    def list(self) -> builtins.list[PlanDescription]:
        """Return the newest version of each plan."""
        return self._client._request(calls.list_plans())

    def get(self, name: str, version: int | None = None) -> PlanDescription:
        """Return a version; by default the one that applies now. It has the projects and what they have used."""
        return self._client._request(calls.get_plan(name, version))

    def assign(self, name: str, project: str, *, valid_from: str | None = None) -> PlanAssignment:
        """Give a project a plan. valid_from: a date, or an instant with its zone; by default now."""
        return self._client._request(calls.assign_plan(name, project, valid_from))

    def unassign(self, project: str, *, valid_from: str | None = None) -> PlanAssignment:
        return self._client._request(calls.assign_plan(None, project, valid_from))


class Credit(Noun):
    """Credit: what projects have paid in advance."""

    def list(self) -> builtins.list[CreditDescription]:
        return self._client._request(calls.list_credit())

    def get(self, project: str) -> builtins.list[CreditDescription]:
        """Return the credit in each currency, with its lines."""
        return self._client._request(calls.get_credit(project))

    def add(self, project: str, amount: str, currency: str, *, note: str = "", key: str = "") -> CreditDescription:
        """Top a project up. amount: a decimal text. key: names the top-up; the same one, sent again, adds nothing."""
        key = key or uuid4().hex  # So that a request that is sent again counts once.
        return self._client._request(calls.add_credit(project, amount, currency, note, key))

    def reverse(self, project: str, line: str, *, note: str = "") -> CreditDescription:
        """Reverse a top-up by a line with the opposite amount."""
        return self._client._request(calls.reverse_credit(project, line, note))


class Ledger(Noun):
    """The ledger: what single answers consumed and cost."""

    def entries(self, call_id: str) -> builtins.list[LedgerEntryDescription]:
        """Return the entries of an answer, by its id."""
        return self._client._request(calls.ledger_entries(call_id))

    def reverse(self, call_id: str, *, note: str, line: int = 0) -> LedgerEntryDescription:
        """Take an entry back by one with the opposite numbers. note: why; the audit log has it."""
        return self._client._request(calls.reverse_entry(call_id, line, note))

    def verify(self, *, start: datetime | None = None, end: datetime | None = None) -> LedgerVerification:
        """Compare the entries of a time, by default of the last thirty days, with their sums and receipts.

        Times without a zone are those of this machine.
        """
        return self._client._request(calls.verify_ledger(start, end))


class Usage(Noun):
    """The consumption."""

    def report(self, by: str, *, start: datetime | None = None, end: datetime | None = None) -> UsageReport:
        """Return the usage by project, key, user, route, model, app or day.

        start, end: the time, widened to whole hours; by default the last thirty days.
        """
        return self._client._request(calls.get_usage(by, start, end))


class Budgets(Noun):
    """Budgets: what keys, users, projects and the installation may consume."""

    def set(self, name: str, **fields: Unpack[BudgetFields]) -> BudgetDescription:
        """Add a budget, or change it: `set("team", project="acme", unit="money", limit="50", currency="EUR")`."""
        return self._client._request(calls.set_budget(name, fields))

    def list(self) -> builtins.list[BudgetDescription]:
        """Return the budgets by name."""
        return self._client._request(calls.list_budgets())

    def get(self, name: str, *, user: str | None = None) -> BudgetDescription:
        """Return a budget. user: of one for each user, only what this one has used."""
        return self._client._request(calls.get_budget(name, user))

    def remove(self, name: str) -> None:
        """Remove a budget. The ledger stays unchanged."""
        self._client._request(calls.remove_budget(name))


class Prices(Noun):
    """The prices of calls."""

    def set(self, document: Mapping[str, Any]) -> PriceBookDescription:
        """Add a version of all prices: an object with currency, prices and from, a time; by default now."""
        return self._client._request(calls.set_prices(document))

    def list(self) -> builtins.list[PriceBookDescription]:
        """Return the versions, newest first."""
        return self._client._request(calls.list_prices())

    def get(self, version: int) -> PriceBookDescription:
        return self._client._request(calls.get_prices(version))

    def try_out(
        self, version: str = "", *, route: str = "", project: str = "", plan: str = "", **numbers: int
    ) -> PriceExample:
        """Return what a call would cost. project, plan: by the prices of the plan that the project has, or of this one.

        numbers: calls, input, cached_input, output, embedding, rated (tokens), and replica_micros.
        """
        facts = {"version": version, "route": route, "project": project, "plan": plan}
        return self._client._request(calls.try_prices(facts, numbers))
