"""llmos promote, rollback, rollout list|history: a version that takes over a route step by step.

Rollouts are kept in the database, so these commands need no running server. A server carries them out.
"""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from llmos.cli import options
from llmos.cli.control import ControlPort, open_control
from llmos.cli.output import print_json, print_table, stderr, stdout
from llmos.core.config import load_settings
from llmos.core.errors import BadRequest
from llmos.core.schemas.rollouts import RolloutDescription

_Route = Annotated[str, typer.Argument(metavar="ROUTE", help="The name that callers ask for.")]

_WATCH_SECONDS = 0.5


def register(app: typer.Typer) -> None:
    app.command("promote")(promote)
    app.command("rollback")(rollback)
    group = typer.Typer(no_args_is_help=True, help="Show rollouts and their history.")
    group.command("list")(list_)
    group.command("history")(history)
    app.add_typer(group, name="rollout")


def promote(
    model: options.ModelReference,
    route: Annotated[str, typer.Option("--route", metavar="NAME", help="The route that the version takes over.")],
    steps: Annotated[str, typer.Option("--steps", help="Percents of the calls, rising to 100%.")] = "5%,25%,100%",
    gate: Annotated[
        str | None,
        typer.Option(
            "--gate",
            metavar="EXPR",
            help="Condition of each step, joined by `and`: error_rate, p50|p95|p99_first_token, p50|p95|p99_seconds,"
            " tokens_per_second or score; compared with 1%, 800ms, or 1.5x of the previous targets.",
            show_default="error_rate <= 1% and p95_first_token <= 1.5x and tokens_per_second >= 0.7x",
        ),
    ] = None,
    min_calls: Annotated[int, typer.Option(help="Calls that each step needs before it is judged.")] = 20,
    max_hold: Annotated[
        int | None,
        typer.Option(
            metavar="SECONDS", help="Roll back if a step can't be judged within this time.", show_default=False
        ),
    ] = None,
    cases: Annotated[
        Path | None,
        typer.Option(
            "--cases",
            help='File of prompts to try first, one JSON object per line: {"prompt": …, "contains": …}.',
            show_default=False,
        ),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Show events until the rollout ends.")] = False,
    force: options.Force = False,
    as_json: options.AsJson = False,
) -> None:
    """Roll out a version on a route in steps. Each step waits until its gate is judged; then the next one begins, or
    the rollout is rolled back."""
    from llmos.deployments.rollouts.cases import read_case_lines
    from llmos.deployments.rollouts.gates import DEFAULT_GATE

    settings: Any = {
        "steps": _percents(steps),
        "gate": DEFAULT_GATE if gate is None else gate,
        "min_calls": min_calls,
        "max_hold_seconds": max_hold,
        "cases": read_case_lines(_read(cases)) if cases else [],
        "force": force,
    }
    with open_control(load_settings()) as control:
        rollout = control.rollouts.promote(model, route, **settings)
        if watch:
            rollout = _watch(control, rollout.id)
    if as_json:
        print_json(rollout)
    elif not watch:
        percents = ", ".join(f"{step:g} %" for step in rollout.steps)
        stdout().print(f"Rollout {rollout.id}: {rollout.version} takes over {route} in steps of {percents}.")
        stderr().print(f"A running server carries it out. To follow it: llmos rollout history {route}")
    if watch and rollout.state != "finished":
        raise typer.Exit(1)


def rollback(route: _Route, as_json: options.AsJson = False) -> None:
    """Undo the running or last rollout of a route: restore its earlier targets and percents."""
    with open_control(load_settings()) as control:
        rollout = control.rollouts.roll_back(route)
    if as_json:
        print_json(rollout)
        return
    weights = ", ".join(f"{target} {percent:g} %" for target, percent in rollout.before.items())
    stdout().print(f"{route} → {weights}")


def list_(
    route: Annotated[str | None, typer.Argument(metavar="ROUTE", help="Only the rollouts of this route.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """List rollouts, newest first."""
    with open_control(load_settings()) as control:
        rollouts = control.rollouts.list(route)
        if not rollouts and route is not None:
            control.routes.get(route)  # raises NotFound for an unknown route
    if as_json:
        print_json(rollouts)
    elif not rollouts:
        where = route or "NAME"
        stderr().print(f"No rollouts yet. To start one: llmos promote MODEL@NUMBER --route {where}")
    else:
        print_table(rollouts, ["id", "route", "version", "state", "percent", "reason"])


def history(route: _Route, as_json: options.AsJson = False) -> None:
    """Show the events of the last rollout of a route, with their reasons."""
    with open_control(load_settings()) as control:
        rollouts = control.rollouts.list(route)
        if not rollouts:
            control.routes.get(route)  # raises NotFound for an unknown route
            raise BadRequest(f"{route} has no rollouts. To start one: llmos promote MODEL@NUMBER --route {route}")
        events = control.rollouts.history(rollouts[0].id)
    print_table(events, ["at", "kind", "reason"], as_json=as_json)


def _watch(control: ControlPort, id: int) -> RolloutDescription:
    """Print events until the rollout has ended. Ctrl-C stops the watching only."""
    num_printed = 0
    while True:
        rollout, events = control.rollouts.get(id), control.rollouts.history(id)
        for event in events[num_printed:]:
            at = f"{event.at.astimezone():%H:%M:%S}" if event.at else ""
            stderr().print(f"{at}  {event.kind.replace('_', ' ')}: {event.reason}")
        num_printed = len(events)
        if rollout.ended_at is not None:
            return rollout
        time.sleep(_WATCH_SECONDS)


def _percents(text: str) -> list[float]:
    try:
        return [float(part.strip().removesuffix("%")) for part in text.split(",")]
    except ValueError:
        raise BadRequest(f"--steps {text!r} are not percents. Write them like 5%,25%,100%.", param="steps") from None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadRequest(f"The cases in {path} can't be read: {error.strerror}.", param="cases") from None
    except UnicodeDecodeError:
        raise BadRequest(f"{path} isn't text. Write one JSON object per line, in UTF-8.", param="cases") from None
