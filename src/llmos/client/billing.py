"""Plans, prepaid credit, and the entries of the ledger."""

import builtins
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import uuid4

from llmos.client import billing_calls as calls
from llmos.client.control import Noun
from llmos.core.schemas.credit import CreditDescription
from llmos.core.schemas.ledger import LedgerEntryDescription
from llmos.core.schemas.ledger_verification import LedgerVerification
from llmos.core.schemas.plans import PlanAssignment, PlanDescription


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
        """Take a top-up back by a line with the opposite amount."""
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
