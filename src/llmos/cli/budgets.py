"""llmos budget set, list, show, rm: what keys, users, projects and the installation may consume."""

import re
from typing import Annotated, Any

import typer

from llmos.cli import options
from llmos.cli.control import open_control
from llmos.cli.output import fields_of, print_facts, print_json, print_table, stderr, stdout
from llmos.cli.plans import shown_alerts
from llmos.core.config import load_settings
from llmos.core.errors import BadRequest
from llmos.core.schemas.budgets import BudgetDescription

_Name = Annotated[str, typer.Argument(metavar="NAME", help="A name of your choice.")]

_LIMIT = re.compile(r"([\d.,_]+)\s*([A-Za-z]+)")
_UNITS = {"token": "tokens", "request": "requests", "call": "requests"}


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Set and show budgets: the most that callers may consume.")
    group.command("set")(set_)
    group.command("list")(list_)
    group.command("show")(show)
    group.command("rm")(rm)
    app.add_typer(group, name="budget")


def set_(
    name: _Name,
    limit: Annotated[str, typer.Argument(metavar="LIMIT", help="Such as '50 EUR', '20000 tokens', '100 requests'.")],
    per: Annotated[str, typer.Option(help="day, month or total.")] = "month",
    project: Annotated[
        str, typer.Option(metavar="PROJECT", help="For this project.", show_default="the installation")
    ] = "",
    key: Annotated[str, typer.Option(metavar="KEY", help="For this API key.", show_default=False)] = "",
    user: Annotated[str, typer.Option(metavar="USER", help="For this user of the project.", show_default=False)] = "",
    each_user: Annotated[
        bool, typer.Option("--each-user", help="The limit applies to each user of the project separately.")
    ] = False,
    is_soft: Annotated[bool, typer.Option("--soft", help="Only alert; calls continue beyond the limit.")] = False,
    alert: Annotated[
        list[int] | None,
        typer.Option(metavar="PERCENT", min=1, max=100, help="Alert there. Repeatable.", show_default="80, 100"),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Set or change a budget. Usage of the current day or month counts; a total counts from now on."""
    unit, currency, amount = parse_limit(limit)
    fields: dict[str, Any] = {
        "project": project,
        "key": key,
        "user": user,
        "each_user": each_user,
        "unit": unit,
        "currency": currency,
        "limit": amount,
        "per": per,
        "is_hard": not is_soft,
    }
    if alert is not None:
        fields["alerts"] = alert
    with open_control(load_settings()) as control:
        budget = control.budgets.set(name, **fields)
    if as_json:
        print_json(budget)
    else:
        stdout().print(f"The budget {name} for {_title(budget)} is {_amount(budget, budget.limit)} {_per(budget)}.")
        if budget.warning:
            stderr().print(f"Warning: {budget.warning} To set prices: llmos price set FILE")


def list_(as_json: options.AsJson = False) -> None:
    """List budgets, with the amounts spent and left in this period."""
    with open_control(load_settings()) as control:
        budgets = control.budgets.list()
    if as_json:
        print_json(budgets)
    elif not budgets:
        stderr().print("There are no budgets. To set one: llmos budget set NAME '50 EUR' --project PROJECT")
    else:
        columns = ("budget", "for", "limit", "spent", "reserved", "left", "resets at")
        print_table([_row(each) for each in budgets], columns)


def show(
    name: _Name,
    user: Annotated[
        str | None,
        typer.Option(metavar="USER", help="Show only this user of a budget with --each-user.", show_default=False),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Show a budget. With --each-user budgets, also the users who have used most."""
    with open_control(load_settings()) as control:
        budget = control.budgets.get(name, user=user)
    if as_json:
        print_json(budget)
        return
    alerts = ", ".join(f"{each} %" for each in budget.alerts) or "none"
    rest = {
        "hard": budget.is_hard,
        "alerts at": alerts,
        "alerts": shown_alerts(budget.alerted),
        "changed": budget.changed_at,
        "by": budget.changed_by or None,
        "warning": budget.warning or None,
    }
    print_facts({**_row(budget), **rest})
    if budget.users:
        stdout().print()
        print_table([fields_of(each) for each in budget.users], ("user", "project", "spent", "reserved", "left"))


def rm(name: _Name) -> None:
    """Remove a budget. The ledger stays unchanged."""
    with open_control(load_settings()) as control:
        control.budgets.remove(name)
    stdout().print(f"Removed the budget {name}.")


def parse_limit(text: str) -> tuple[str, str, str]:
    """Return the unit, the currency and the amount of such as `50 EUR`. Raises BadRequest."""
    match = _LIMIT.fullmatch(text.strip())
    if match is None:
        raise BadRequest(
            f"{text[:80]!r} is no limit. Write such as '50 EUR', '20000 tokens' or '100 requests'.", param="limit"
        )
    amount, unit = re.sub("[,_]", "", match[1]), match[2]
    word = _UNITS.get(unit.lower().removesuffix("s"))
    return (word, "", amount) if word else ("money", unit, amount)


def _row(budget: BudgetDescription) -> dict[str, Any]:
    spent, reserved, left = (
        None if each is None else _amount(budget, each) for each in (budget.spent, budget.reserved, budget.left)
    )
    return {
        "budget": budget.name,
        "for": _title(budget),
        "limit": f"{_amount(budget, budget.limit)} {_per(budget)}",
        "spent": spent,
        "reserved": reserved,
        "left": left,
        "resets at": budget.resets_at,
    }


def _title(budget: BudgetDescription) -> str:
    match budget.scope:
        case "key":
            return f"the key {budget.key}"
        case "user":
            return f"the user {budget.user} of the project {budget.project}"
        case "each_user":
            return f"each user of the project {budget.project}" if budget.project else "each user"
        case "project":
            return f"the project {budget.project}"
    return "the installation"


def _amount(budget: BudgetDescription, amount: str) -> str:
    return f"{amount} {budget.currency}" if budget.unit == "money" else f"{int(amount):,} {budget.unit}"


def _per(budget: BudgetDescription) -> str:
    return "in total" if budget.per == "total" else f"per {budget.per}"
