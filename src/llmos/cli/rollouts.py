"""llmos promote, rollback, rollout list|history: a version takes a route over step by step.

What is wanted is kept in the database, so these commands need no server: a running one carries it out. Where
LLMOS_ENDPOINT names a server on another machine, that one is asked.
"""

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmos.cli import options
from llmos.cli.output import print_json, print_table, stderr, stdout
from llmos.cli.remote import remote_server
from llmos.core.config import load_settings
from llmos.core.errors import BadRequest
from llmos.core.who import this_user

if TYPE_CHECKING:
    from llmos.client import Client
    from llmos.deployments.rollouts.rollouts import Rollout, RolloutEvent, Rollouts

_Route = Annotated[str, typer.Argument(metavar="ROUTE", help="The name that callers ask for.")]

_WATCH_SECONDS = 0.5


def register(app: typer.Typer) -> None:
    app.command("promote")(promote)
    app.command("rollback")(rollback)
    group = typer.Typer(no_args_is_help=True, help="Versions that take routes over, and what happened on the way.")
    group.command("list")(list_)
    group.command("history")(history)
    app.add_typer(group, name="rollout")


def promote(
    model: options.ModelReference,
    route: Annotated[str, typer.Option("--route", metavar="NAME", help="The route that it is to take over.")],
    steps: Annotated[str, typer.Option("--steps", help="Percents of the calls, rising to 100%.")] = "5%,25%,100%",
    gate: Annotated[
        str | None,
        typer.Option(
            "--gate",
            metavar="EXPR",
            help="What has to hold at each step: error_rate, p50|p95|p99_first_token, p50|p95|p99_seconds,"
            " tokens_per_second, score; <= 1%, 800ms, or 1.5x of what answered before; joined by `and`.",
            show_default="error_rate <= 1% and p95_first_token <= 1.5x and tokens_per_second >= 0.7x",
        ),
    ] = None,
    min_calls: Annotated[int, typer.Option(help="Calls that each step wants to see before it is judged.")] = 20,
    max_hold: Annotated[
        int | None,
        typer.Option(metavar="SECONDS", help="Go back where a step takes longer to judge.", show_default=False),
    ] = None,
    cases: Annotated[
        Path | None,
        typer.Option(
            "--cases",
            help='Questions that are tried before any call, one JSON object a line: {"prompt": …, "contains": …}.',
            show_default=False,
        ),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Tell what happens until it has ended.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Whatever its card says; the history keeps that.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Let a version take a route over in steps. Each holds until its gate has seen enough, then goes on or back."""
    from llmos.deployments.rollouts.cases import read_case_lines
    from llmos.deployments.rollouts.gates import DEFAULT_GATE

    asked: dict[str, Any] = {
        "steps": _percents(steps),
        "gate": DEFAULT_GATE if gate is None else gate,
        "min_calls": min_calls,
        "max_hold_seconds": max_hold,
        "cases": read_case_lines(_read(cases)) if cases else [],
        "force": force,
    }
    if (server := remote_server(load_settings())) is not None:
        rollout = server.rollouts.promote(model, route, **asked)
    else:
        rollout = _facts(_open().begin(model, route, **asked, actor=this_user()))
    if watch:
        rollout = _watch(server, rollout["id"])
    if as_json:
        print_json(rollout)
    elif not watch:
        percents = ", ".join(f"{step:g} %" for step in rollout["steps"])
        stdout().print(f"Rollout {rollout['id']}: {rollout['version']} is to take {route} over in steps of {percents}.")
        stderr().print(f"A running server carries it out. Follow it: llmos rollout history {route}")
    if watch and rollout["state"] != "finished":
        raise typer.Exit(1)


def rollback(route: _Route, as_json: options.AsJson = False) -> None:
    """Undo the rollout that runs or ran last on a route: it gets the weights back that it had."""
    if (server := remote_server(load_settings())) is not None:
        rollout = server.rollouts.roll_back(route)
    else:
        rollout = _facts(_open().roll_back_route(route, actor=this_user()))
    if as_json:
        print_json(rollout)
        return
    weights = ", ".join(f"{target} {percent:g} %" for target, percent in rollout["before"].items())
    stdout().print(f"{route} → {weights}")


def list_(
    route: Annotated[str | None, typer.Argument(metavar="ROUTE", help="Of this route alone.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """List the rollouts, the newest first."""
    rows = _list(remote_server(load_settings()), route)
    if as_json:
        print_json(rows)
    elif not rows and route is not None:
        stderr().print(f"{route} has had no rollout. Begin one: llmos promote MODEL@NUMBER --route {route}")
    elif not rows:
        stderr().print("No rollouts yet. Begin one: llmos promote MODEL@NUMBER --route NAME")
    else:
        print_table(rows, ["id", "route", "version", "state", "percent", "reason"])


def history(route: _Route, as_json: options.AsJson = False) -> None:
    """Show what happened in the last rollout of a route, and why."""
    server = remote_server(load_settings())
    found = _list(server, route)
    if not found:
        raise BadRequest(f"{route} has had no rollout. Begin one: llmos promote MODEL@NUMBER --route {route}")
    _, history_of = _readers(server)
    print_table(history_of(found[0]["id"]), ["at", "kind", "actor", "reason"], as_json=as_json)


def _list(server: "Client | None", route: str | None) -> Sequence[dict[str, Any]]:
    """The newest first. Raises NotFound for a name that never was a route."""
    if server is None:
        rollouts = _open()
        return [_facts(rollout) for rollout in (rollouts.list() if route is None else rollouts.of_route(route))]
    found = server.rollouts.list(route)
    if not found and route is not None:
        server.routes.get(route)
    return found


def _readers(
    server: "Client | None",
) -> tuple[Callable[[int], dict[str, Any]], Callable[[int], Sequence[dict[str, Any]]]]:
    """Return what says how a rollout is, and what says what happened in it."""
    if server is not None:
        far = server.rollouts
        return far.get, lambda id: [row | {"at": datetime.fromisoformat(row["at"])} for row in far.history(id)]
    rollouts = _open()
    return lambda id: _facts(rollouts.get(id)), lambda id: [_event(event) for event in rollouts.history(id)]


def _watch(server: "Client | None", id: int) -> dict[str, Any]:
    """Print what happens until the rollout has ended. Ctrl-C ends the watching only."""
    get, history_of = _readers(server)
    num_told = 0
    while True:
        rollout, events = get(id), history_of(id)
        for event in events[num_told:]:
            stderr().print(f"{event['at'].astimezone():%H:%M:%S}  {event['kind'].replace('_', ' ')}: {event['reason']}")
        num_told = len(events)
        if rollout["ended_at"] is not None:
            return rollout
        time.sleep(_WATCH_SECONDS)


def _percents(text: str) -> list[float]:
    try:
        return [float(part.strip().removesuffix("%")) for part in text.split(",")]
    except ValueError:
        raise BadRequest(f"--steps {text!r} are no percents; write them as in 5%,25%,100%.", param="steps") from None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadRequest(f"The cases in {path} can't be read: {error.strerror}.", param="cases") from None
    except UnicodeDecodeError:
        raise BadRequest(f"{path} is no text; write one JSON object a line, in UTF-8.", param="cases") from None


def _facts(rollout: "Rollout") -> dict[str, Any]:
    return {
        "id": rollout.id,
        "route": rollout.route,
        "version": rollout.target,
        "state": rollout.state,
        "percent": rollout.percent,
        "steps": list(rollout.steps),
        "gate": rollout.gate,
        "before": dict(rollout.before),
        "baseline": dict(rollout.baseline),
        "scores": dict(rollout.scores),
        "reason": rollout.reason,
        "created_at": rollout.created_at,
        "ended_at": rollout.ended_at,
    }


def _event(event: "RolloutEvent") -> dict[str, Any]:
    return {
        "at": event.at,
        "kind": event.kind,
        "actor": event.actor,
        "reason": event.reason,
        "data": dict(event.data),
    }


def _open() -> "Rollouts":
    from llmos.deployments.opening import open_deployments
    from llmos.deployments.rollouts.rollouts import Rollouts
    from llmos.deployments.routing.routes import Routes
    from llmos.models import open_registry

    settings = load_settings()
    registry = open_registry(settings)
    return Rollouts(registry.database, Routes(registry), open_deployments(registry, settings))
