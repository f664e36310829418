"""llmos billing-plan set, list, show, assign, unassign: how projects pay."""

from pathlib import Path
from typing import Annotated, Any

import typer

from llmos.cli import options
from llmos.cli.control import open_control
from llmos.cli.documents import read_document
from llmos.cli.output import fields_of, print_facts, print_json, print_table, stderr, stdout
from llmos.core.config import load_settings
from llmos.core.schemas.alerts import AlertDescription
from llmos.core.schemas.plans import PlanAssignment, PlanDescription, PlanLimitUse

_Name = Annotated[str, typer.Argument(metavar="PLAN", help="The plan's name.")]
_Project = Annotated[str, typer.Argument(metavar="PROJECT", help="The project's name.")]
_From = Annotated[
    str | None,
    typer.Option("--from", metavar="WHEN", help="From this date on: 2027-01-01, or an instant.", show_default="now"),
]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Manage plans: the fees, prices and spending limits of projects.")
    group.command("set")(set_)
    group.command("list")(list_)
    group.command("show")(show)
    group.command("assign")(assign)
    group.command("unassign")(unassign)
    app.add_typer(group, name="billing-plan")


def set_(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="YAML with name, kind, currency, and the plan's fee, prices and limits."),
    ],
    as_json: options.AsJson = False,
) -> None:
    """Add a version of a plan, which then applies to all projects with the plan."""
    document = read_document(file, "`name`, `kind` and `currency`")
    with open_control(load_settings()) as control:
        _print(control.plans.set(document), as_json=as_json)


def list_(as_json: options.AsJson = False) -> None:
    """List the newest version of each plan."""
    with open_control(load_settings()) as control:
        plans = control.plans.list()
    if as_json:
        print_json(plans)
        return
    if not plans:
        stderr().print("There are no plans. To set one: llmos billing-plan set FILE")
        return
    rows = [
        {**fields_of(each), "projects": ", ".join(project.project for project in each.projects) or None}
        for each in plans
    ]
    print_table(
        rows,
        {"name": "plan", "version": "version", "kind": "kind", "currency": "currency", "projects": "projects"},
    )


def show(
    name: _Name,
    version: Annotated[
        int | None, typer.Option(min=1, help="Its number.", show_default="the one that applies now")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Show a plan, its projects with their usage, and the alerts of this period."""
    with open_control(load_settings()) as control:
        _print(control.plans.get(name, version), as_json=as_json)


def assign(name: _Name, project: _Project, start: _From = None, as_json: options.AsJson = False) -> None:
    """Assign a plan to a project, in place of its current plan."""
    with open_control(load_settings()) as control:
        _print_assignment(control.plans.assign(name, project, valid_from=start), as_json=as_json)


def unassign(project: _Project, start: _From = None, as_json: options.AsJson = False) -> None:
    """Remove the plan of a project, so that it pays as it goes."""
    with open_control(load_settings()) as control:
        _print_assignment(control.plans.unassign(project, valid_from=start), as_json=as_json)


def shown_alerts(alerts: list[AlertDescription]) -> str | None:
    """Return alerts in one line: 50 %, 80 % (soft)."""
    return ", ".join(_shown_alert(each) for each in reversed(alerts)) or None


def _shown_alert(alert: AlertDescription) -> str:
    user = f" by {alert.user}" if alert.user else ""
    return f"{alert.percent} %{user}{'' if alert.is_hard else ' (soft)'}"


def _print_assignment(assignment: PlanAssignment, *, as_json: bool) -> None:
    if as_json:
        print_json(assignment)
    else:
        plan = f"the plan {assignment.plan}" if assignment.plan else "no plan"
        stderr().print(f"{assignment.project} has {plan} from {assignment.valid_from:%Y-%m-%d %H:%M} UTC on.")


def _print(plan: PlanDescription, *, as_json: bool) -> None:
    if as_json:
        print_json(plan)
        return
    facts: dict[str, Any] = {"plan": plan.name, "version": plan.version, "from": plan.valid_from, "kind": plan.kind}
    facts |= {"currency": plan.currency, "set by": plan.created_by}
    if plan.kind == "subscription":
        facts["monthly fee"] = plan.monthly_fee
    facts |= {f"included {unit} a month": _number(number) for unit, number in plan.included.items()}
    facts["alerts at"] = ", ".join(f"{percent} %" for percent in plan.alerts) or None
    facts["prices"] = f"its own (version {plan.price_version})" if plan.prices is not None else "the general ones"
    print_facts(facts)
    for limit in plan.limits:
        unit = next(each for each in ("spend", "tokens", "calls") if each in limit)
        kind = "hard" if limit.get("hard", True) else "soft"
        stdout().print(f"limit: {_number(limit[unit])} {unit} per {limit.get('per', 'month')} ({kind})")
    for each in plan.projects:
        stdout().print(f"\n{each.project}")
        print_facts(
            {"from": each.valid_from, "until": each.valid_until, **dict(_use(use) for use in each.limits),
             "alerts": shown_alerts(each.alerts)}
        )  # fmt: skip


def _use(use: PlanLimitUse) -> tuple[str, str]:
    return f"{use.unit} per {use.per}, {use.kind}", f"{use.spent} of {use.limit} used, {use.left} left"


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
