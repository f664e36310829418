"""The requests of usage, prices, budgets, plans, credit and the ledger."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from llmos.client.call import Call, read_each, read_nothing, read_one
from llmos.client.call_settings import instant
from llmos.core.schemas.budgets import BudgetDescription, BudgetFields
from llmos.core.schemas.credit import CreditDescription
from llmos.core.schemas.ledger import LedgerEntryDescription
from llmos.core.schemas.ledger_verification import LedgerVerification
from llmos.core.schemas.plans import PlanAssignment, PlanDescription
from llmos.core.schemas.prices import PriceBookDescription, PriceExample
from llmos.core.schemas.usage import UsageReport


def set_plan(document: Mapping[str, Any]) -> Call[PlanDescription]:
    return Call(method="POST", path="/llmos/v1/plans", body=dict(document), read=read_one(PlanDescription))


def list_plans() -> Call[list[PlanDescription]]:
    return Call(method="GET", path="/llmos/v1/plans", read=read_each(PlanDescription))


def get_plan(name: str, version: int | None) -> Call[PlanDescription]:
    query = "" if version is None else f"?version={version}"
    return Call(method="GET", path=f"/llmos/v1/plans/{quote(name, safe='')}{query}", read=read_one(PlanDescription))


def assign_plan(name: str | None, project: str, valid_from: str | None) -> Call[PlanAssignment]:
    path = "unassign" if name is None else f"{quote(name, safe='')}/assign"
    body = {"project": project, "from": valid_from}
    return Call(method="POST", path=f"/llmos/v1/plans/{path}", body=body, read=read_one(PlanAssignment))


def list_credit() -> Call[list[CreditDescription]]:
    return Call(method="GET", path="/llmos/v1/credit", read=read_each(CreditDescription))


def get_credit(project: str) -> Call[list[CreditDescription]]:
    return Call(method="GET", path=f"/llmos/v1/credit/{quote(project, safe='')}", read=read_each(CreditDescription))


def add_credit(project: str, amount: str, currency: str, note: str, key: str) -> Call[CreditDescription]:
    body = {"amount": amount, "currency": currency, "note": note, "key": key}
    path = f"/llmos/v1/credit/{quote(project, safe='')}"
    return Call(method="POST", path=path, body=body, read=read_one(CreditDescription))


def reverse_credit(project: str, line: str, note: str) -> Call[CreditDescription]:
    path = f"/llmos/v1/credit/{quote(project, safe='')}/reverse"
    return Call(method="POST", path=path, body={"line": line, "note": note}, read=read_one(CreditDescription))


def ledger_entries(call_id: str) -> Call[list[LedgerEntryDescription]]:
    path = f"/llmos/v1/ledger/{quote(call_id, safe='')}"
    return Call(method="GET", path=path, read=read_each(LedgerEntryDescription))


def reverse_entry(call_id: str, line: int, note: str) -> Call[LedgerEntryDescription]:
    path = f"/llmos/v1/ledger/{quote(call_id, safe='')}/reverse"
    return Call(method="POST", path=path, body={"line": line, "note": note}, read=read_one(LedgerEntryDescription))


def verify_ledger(start: datetime | None, end: datetime | None) -> Call[LedgerVerification]:
    given = {"from": start, "to": end}
    body = {name: moment.astimezone(UTC).isoformat() for name, moment in given.items() if moment is not None}
    return Call(method="POST", path="/llmos/v1/ledger/verify", body=body, read=read_one(LedgerVerification))


def get_usage(by: str, start: datetime | None, end: datetime | None) -> Call[UsageReport]:
    given = {"by": by} | {name: instant(each) for name, each in (("from", start), ("to", end)) if each is not None}
    return Call(method="GET", path=f"/llmos/v1/usage?{urlencode(given)}", read=read_one(UsageReport))


def set_budget(name: str, fields: BudgetFields) -> Call[BudgetDescription]:
    return Call(method="PUT", path=_budget_path(name), body=dict(fields), read=read_one(BudgetDescription))


def list_budgets() -> Call[list[BudgetDescription]]:
    return Call(method="GET", path="/llmos/v1/budgets", read=read_each(BudgetDescription))


def get_budget(name: str, user: str | None) -> Call[BudgetDescription]:
    query = "" if user is None else f"?{urlencode({'user': user})}"
    return Call(method="GET", path=_budget_path(name) + query, read=read_one(BudgetDescription))


def remove_budget(name: str) -> Call[None]:
    return Call(method="DELETE", path=_budget_path(name), read=read_nothing)


def _budget_path(name: str) -> str:
    return f"/llmos/v1/budgets/{quote(name, safe='')}"


def set_prices(document: Mapping[str, Any]) -> Call[PriceBookDescription]:
    return Call(method="POST", path="/llmos/v1/prices", body=dict(document), read=read_one(PriceBookDescription))


def list_prices() -> Call[list[PriceBookDescription]]:
    return Call(method="GET", path="/llmos/v1/prices", read=read_each(PriceBookDescription))


def get_prices(version: int) -> Call[PriceBookDescription]:
    return Call(method="GET", path=f"/llmos/v1/prices/{version}", read=read_one(PriceBookDescription))


def try_prices(facts: Mapping[str, str], numbers: Mapping[str, int]) -> Call[PriceExample]:
    body = {**{name: value for name, value in facts.items() if value}, **numbers}
    return Call(method="POST", path="/llmos/v1/prices/try", body=body, read=read_one(PriceExample))
