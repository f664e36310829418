"""Usage, budgets, prices, plans, credit, invoices and the ledger in this machine's database."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Unpack

from llmos.core.schemas.budgets import BudgetDescription, BudgetFields
from llmos.core.schemas.credit import CreditDescription
from llmos.core.schemas.invoices import (
    InvoiceDescription,
    InvoiceSettings,
    InvoiceSummary,
    InvoiceVerification,
)
from llmos.core.schemas.ledger import LedgerEntryDescription
from llmos.core.schemas.ledger_verification import LedgerVerification
from llmos.core.schemas.plans import PlanAssignment, PlanDescription
from llmos.core.schemas.prices import PriceBookDescription, PriceExample
from llmos.core.schemas.usage import UsageReport
from llmos.core.who import this_user

if TYPE_CHECKING:
    from llmos.billing.budgets import Budgets
    from llmos.billing.credit.credit import Credit
    from llmos.billing.invoices.invoices import Invoices
    from llmos.billing.invoices.settings import InvoiceSettingsBook
    from llmos.billing.ledger import Ledger
    from llmos.billing.plans.plans import Plans
    from llmos.billing.price_books import PriceBooks
    from llmos.cli.control.local import LocalControl


class LocalUsage:
    def __init__(self, control: "LocalControl") -> None:
        self._control = control

    def report(self, by: str, *, start: datetime | None = None, end: datetime | None = None) -> UsageReport:
        from llmos.billing.usage import Usage

        return Usage(self._control.registry.database).report(by, start, end)


class LocalBudgets:
    def __init__(self, control: "LocalControl") -> None:
        self._control = control

    @cached_property
    def _budgets(self) -> "Budgets":
        from llmos.billing.budgets import Budgets, Subjects

        control = self._control
        subjects = Subjects(check_project=control.projects.get, project_of_key=lambda id: control.keys.get(id).project)
        return Budgets(control.registry.database, subjects=subjects)

    def set(self, name: str, **fields: Unpack[BudgetFields]) -> BudgetDescription:
        from llmos.billing.budgets import BudgetSettings

        return self._budgets.set(name, BudgetSettings(**fields), actor=this_user())

    def list(self) -> Sequence[BudgetDescription]:
        return self._budgets.list()

    def get(self, name: str, *, user: str | None = None) -> BudgetDescription:
        return self._budgets.get(name, user=user)

    def remove(self, name: str) -> None:
        self._budgets.remove(name)


class LocalPrices:
    def __init__(self, control: "LocalControl") -> None:
        self._control = control

    @cached_property
    def _books(self) -> "PriceBooks":
        from llmos.billing.price_books import PriceBooks

        return PriceBooks(self._control.registry.database)

    def set(self, document: Mapping[str, Any]) -> PriceBookDescription:
        return self._books.set(dict(document), actor=this_user())

    def list(self) -> Sequence[PriceBookDescription]:
        return self._books.list()

    def get(self, version: int) -> PriceBookDescription:
        return self._books.get(version)

    def try_out(
        self, version: str = "", *, route: str = "", project: str = "", plan: str = "", **numbers: int
    ) -> PriceExample:
        from llmos.billing.price_books import example

        if project:
            self._control.projects.get(project)
        return self._books.try_out(example(version=version, route=route, project=project, **numbers), plan=plan)


class LocalPlans:
    def __init__(self, control: "LocalControl") -> None:
        self._control = control

    @cached_property
    def _plans(self) -> "Plans":
        from llmos.billing.plans.plans import Plans

        control = self._control
        return Plans(control.registry.database, check_project=control.projects.get)

    def set(self, document: Mapping[str, Any]) -> PlanDescription:
        return self._plans.set(dict(document), actor=this_user())

    def list(self) -> Sequence[PlanDescription]:
        return self._plans.list()

    def get(self, name: str, version: int | None = None) -> PlanDescription:
        return self._plans.get(name, version)

    def assign(self, name: str, project: str, *, valid_from: str | None = None) -> PlanAssignment:
        return self._plans.assign(name, project, valid_from=valid_from, actor=this_user())

    def unassign(self, project: str, *, valid_from: str | None = None) -> PlanAssignment:
        return self._plans.assign(None, project, valid_from=valid_from, actor=this_user())


class LocalCredit:
    def __init__(self, control: "LocalControl") -> None:
        self._control = control

    @cached_property
    def _credit(self) -> "Credit":
        from llmos.billing.credit.credit import Credit

        control = self._control
        return Credit(control.registry.database, check_project=control.projects.get)

    def list(self) -> Sequence[CreditDescription]:
        return self._credit.list()

    def get(self, project: str) -> Sequence[CreditDescription]:
        return self._credit.get(project)

    def add(self, project: str, amount: str, currency: str, *, note: str = "", key: str = "") -> CreditDescription:
        return self._credit.add(project, amount, currency, key=key, note=note, actor=this_user())

    def reverse(self, project: str, line: str, *, note: str = "") -> CreditDescription:
        return self._credit.reverse(project, line, note=note, actor=this_user())


class LocalInvoices:
    def __init__(self, control: "LocalControl") -> None:
        self._control = control

    @cached_property
    def _invoices(self) -> "Invoices":
        from llmos.billing.invoices.invoices import Invoices

        return Invoices(self._control.registry.database)

    @cached_property
    def _settings(self) -> "InvoiceSettingsBook":
        from llmos.billing.invoices.settings import InvoiceSettingsBook

        control = self._control
        return InvoiceSettingsBook(control.registry.database, check_project=control.projects.get)

    def make(self, project: str, month: str, *, currency: str | None = None) -> InvoiceDescription:
        from llmos.billing.invoices.invoices import NewInvoice

        return self._invoices.make(NewInvoice(project=project, month=month, currency=currency), actor=this_user())

    def draft(self, project: str, month: str, *, currency: str | None = None) -> InvoiceDescription:
        from llmos.billing.invoices.invoices import NewInvoice

        new = NewInvoice(project=project, month=month, currency=currency, is_draft=True)
        return self._invoices.make(new)

    def list(self, project: str | None = None) -> Sequence[InvoiceSummary]:
        return self._invoices.list(project)

    def get(self, number: str) -> InvoiceDescription:
        return self._invoices.get(number)

    def credit(self, number: str, *, reason: str = "") -> InvoiceDescription:
        return self._invoices.credit(number, reason=reason, actor=this_user())

    def verify(self, number: str) -> InvoiceVerification:
        from llmos.billing.invoices.verification import InvoiceVerifier

        return InvoiceVerifier(self._control.registry.database).verify(number)

    def entries(self, number: str) -> Iterator[LedgerEntryDescription]:
        from llmos.billing.invoices.entries import EntryReader

        return EntryReader(self._control.registry.database).read(number)

    def settings(self, project: str = "") -> InvoiceSettings:
        return self._settings.get(project)

    def configure(self, settings: Mapping[str, Any], project: str = "") -> InvoiceSettings:
        return self._settings.set(dict(settings), project=project, actor=this_user())


class LocalLedger:
    def __init__(self, control: "LocalControl") -> None:
        self._control = control

    @cached_property
    def _ledger(self) -> "Ledger":
        from llmos.billing.ledger import Ledger

        return Ledger(self._control.registry.database)

    def entries(self, call_id: str) -> Sequence[LedgerEntryDescription]:
        return self._ledger.entries(call_id)

    def reverse(self, call_id: str, *, note: str, line: int = 0) -> LedgerEntryDescription:
        return self._ledger.reverse(call_id, line, note=note)

    def verify(self, *, start: datetime | None = None, end: datetime | None = None) -> LedgerVerification:
        from llmos.gateway.ledger_check import LedgerCheck
        from llmos.security.receipts.receipts import Receipts
        from llmos.security.signing_key import SigningKey

        settings, database = self._control.settings, self._control.registry.database
        receipts = Receipts(database, SigningKey(settings.signing_key_path), days=settings.receipt_days)
        return LedgerCheck(database, receipts, settings.ledger_spill_path).run(start, end)
