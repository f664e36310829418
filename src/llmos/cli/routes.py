"""llmos route set, weights, list, show, history, rm: the names that callers ask for, and what answers."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmos.cli import options
from llmos.cli.output import print_facts, print_json, print_table, shown, stdout
from llmos.cli.remote import remote_server
from llmos.core.config import load_settings
from llmos.core.errors import BadRequest, LLMOSError
from llmos.core.who import this_user

if TYPE_CHECKING:
    from llmos.deployments.routing.route import Route
    from llmos.deployments.routing.routes import Routes

_Name = Annotated[str, typer.Argument(metavar="NAME", help="The name that callers ask for.")]
_Targets = Annotated[
    list[str],
    typer.Argument(
        metavar="TARGET",
        help="A model, or remote:PROVIDER/MODEL. Several share the calls: smollm2@1=95 smollm2@2=5.",
    ),
]
_Reason = Annotated[str | None, typer.Option(help="Why, for the history.", show_default=False)]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="The names that callers ask for, and what answers.")
    group.command("set")(set_)
    group.command("weights")(weights)
    group.command("list")(list_)
    group.command("show")(show)
    group.command("history")(history)
    group.command("rm")(rm)
    app.add_typer(group, name="route")


def set_(
    name: _Name,
    targets: _Targets,
    fallback: Annotated[
        list[str] | None, typer.Option(help="Tried where a target fails; may be given several times, in order.")
    ] = None,
    shadow: Annotated[
        str | None, typer.Option(metavar="TARGET[=PERCENT]", help="Runs the calls besides, to compare.")
    ] = None,
    sticky: Annotated[str, typer.Option(help="Who always meets the same target: user, caller or none.")] = "user",
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="To the first token, or to a whole answer.")
    ] = None,
    reason: _Reason = None,
    as_json: options.AsJson = False,
) -> None:
    """Say what answers to a name. A running server follows at once."""
    shares = _shares(targets)
    shadow_target, shadow_percent = (None, None) if shadow is None else _target_and_percent(shadow)
    shadow_percent = 100.0 if shadow_percent is None else shadow_percent
    server = remote_server(load_settings())
    if server is not None:
        asked: dict[str, Any] = {
            "fallbacks": fallback or None,
            "shadow": shadow_target and {"target": shadow_target, "percent": shadow_percent},
            "sticky": None if sticky == "user" else sticky,
            "timeout_seconds": timeout,
            "reason": reason,
        }
        route = server.routes.set(name, shares, **asked).raw
    else:
        from llmos.deployments.routing.route import Shadow, sticky_of

        set_route = _open().set(
            name,
            shares,
            fallbacks=fallback or (),
            shadow=None if shadow_target is None else Shadow(shadow_target, shadow_percent),
            sticky=sticky_of(sticky),
            timeout_seconds=timeout,
            reason=reason,
            actor=this_user(),
        )
        route = _facts(set_route)
    _print_route(route, as_json)


def weights(name: _Name, targets: _Targets, reason: _Reason = None, as_json: options.AsJson = False) -> None:
    """Share a route's calls out anew, all at once; fallbacks, shadow and the rest stay as they are."""
    shares = _shares(targets)
    percent_of = {shares: 100.0} if isinstance(shares, str) else shares
    if (server := remote_server(load_settings())) is not None:
        route = server.routes.set_weights(name, percent_of, reason=reason or "").raw
    else:
        route = _facts(_open().set_weights(name, percent_of, reason or "", actor=this_user()))
    _print_route(route, as_json)


def list_(as_json: options.AsJson = False) -> None:
    """List the routes, and what answers most of each one's calls."""
    if (server := remote_server(load_settings())) is not None:
        rows = [route.raw for route in server.routes.list()]
        print_table(rows, {"name": "route", "target": "model"}, as_json=as_json)
        return
    routes = _open()
    rows = [_facts(route) | {"version": _answers_now(routes, route.name)} for route in routes.list()]
    columns = {"name": "route", "leads_to": "leads to", "version": "answers now", "updated_at": "since"}
    print_table([row | {"leads_to": _spelled(row)} for row in rows] if not as_json else rows, columns, as_json=as_json)


def show(name: _Name, as_json: options.AsJson = False) -> None:
    """Show a route, what became of its calls, and how its shadow compares, as far as the running server remembers."""
    settings = load_settings()
    server = remote_server(settings)
    route = server.routes.get(name).raw if server is not None else _facts(_open().get(name))
    evidence = _evidence(name)
    if as_json:
        print_json(route | {"evidence": evidence})
        return
    print_facts(
        {
            "route": route["name"],
            "leads_to": _spelled(route),
            "fallbacks": route.get("fallbacks") or None,
            "shadow": _spelled_shadow(route),
            "sticky": route.get("sticky"),
            "timeout_seconds": route.get("timeout_seconds"),
            "updated_at": route.get("updated_at"),
        }
    )
    if evidence is None:
        stdout().print("What became of its calls is known to the server that answers them: llmos serve")
        return
    columns = {
        "target": "target", "num_calls": "calls", "num_answered": "answered", "num_failed": "failed",
        "errors": "why", "first_token": "first token p95", "pace": "tokens/s",
    }  # fmt: skip
    print_table([_row(target) for target in evidence["targets"]], columns)
    if (shadow := evidence.get("shadow")) is not None:
        stdout().print(_compared(shadow))


def history(name: _Name, as_json: options.AsJson = False) -> None:
    """Say what a route was, who moved it, when and why. The newest move comes first."""
    if (server := remote_server(load_settings())) is not None:
        moves = [*server.routes.history(name)]
    else:
        moves = [
            {
                "moved_at": move.moved_at,
                "moved_by": move.moved_by,
                "reason": move.reason,
                "before": move.before,
                "after": move.after,
            }
            for move in _open().history(name)
        ]
    if as_json:
        print_json(moves)
        return
    rows = [
        {"at": move["moved_at"], "by": move["moved_by"], "to": _moved_to(move["after"]), "why": move["reason"]}
        for move in moves
    ]
    print_table(rows, {"at": "when", "by": "who", "to": "to", "why": "why"})


def rm(name: _Name) -> None:
    """Remove a route. Who asks for the name then gets a 404 that says how to set it."""
    if (server := remote_server(load_settings())) is not None:
        server.routes.remove(name)
    else:
        _open().remove(name, actor=this_user())
    stdout().print(f"Removed the route {name}.")


def _shares(targets: Sequence[str]) -> str | dict[str, float]:
    """Return the one target, or each with its percent. Raises BadRequest where a weight is missing or said twice."""
    found = [_target_and_percent(target) for target in targets]
    if len(found) == 1 and found[0][1] is None:
        return found[0][0]
    shares: dict[str, float] = {}
    for target, percent in found:
        if percent is None:
            raise BadRequest(f"{target} has no weight. Several targets share 100: {target}=95 OTHER=5", param="target")
        if target in shares:
            raise BadRequest(f"{target} is named twice. Give it one weight.", param="target")
        shares[target] = percent
    return shares


def _target_and_percent(text: str) -> tuple[str, float | None]:
    target, equals, percent = text.rpartition("=")
    if not equals:
        return text, None
    try:
        return target, float(percent.removesuffix("%"))
    except ValueError:
        raise BadRequest(f"{percent!r} in {text!r:.200} is no weight: write {target}=5", param="target") from None


def _answers_now(routes: "Routes", name: str) -> str | None:
    try:
        return routes.resolve_primary(name).ref
    except LLMOSError:
        return None


def _evidence(name: str) -> dict[str, Any] | None:
    """What the server remembers, None where none answers."""
    from llmos.client import Client

    try:
        with Client(timeout_seconds=10, max_retries=0) as client:
            return client.routes.evidence(name)
    except LLMOSError:
        return None


def _row(target: dict[str, Any]) -> dict[str, Any]:
    first, pace = target["first_token_seconds"], target["tokens_per_second"]
    return target | {
        "errors": ", ".join(f"{code} {num}" for code, num in target["errors"].items()) or None,
        "first_token": first and f"{first['p95']:.3f} s",
        "pace": pace and f"{pace['p50']:.1f}",
    }


def _compared(shadow: dict[str, Any]) -> str:
    said = f"Shadow {shadow['target']}: {shadow['num_calls']} calls, {shadow['num_failed']} failed"
    if shadow["num_compared"]:
        said += f"; {shadow['num_agreed']} of {shadow['num_compared']} answers that can be compared are the same"
        said += f", {100 * shadow['common_share']:.0f} % of the text in common"
    if shadow["seconds"] and shadow["shadow_seconds"]:
        said += f"; {shadow['shadow_seconds']['p50']:.2f} s against {shadow['seconds']['p50']:.2f} s"
    return f"{said}."


def _moved_to(settings: dict[str, Any] | None) -> str:
    if settings is None:
        return "removed"
    targets = [{"target": target, "percent": percent} for target, percent in settings["targets"].items()]
    return _spelled(settings | {"targets": targets})


def _spelled(route: dict[str, Any]) -> str:
    targets = route.get("targets") or []
    if len(targets) <= 1:
        return str(targets[0]["target"] if targets else route["target"])
    return ", ".join(f"{each['target']} {each['percent']:g} %" for each in targets)


def _spelled_shadow(route: dict[str, Any]) -> str | None:
    shadow = route.get("shadow")
    return None if not shadow else f"{shadow['target']} {shadow['percent']:g} %"


def _print_route(route: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(route)
        return
    fallbacks = "".join(f", else {fallback}" for fallback in route.get("fallbacks") or ())
    stdout().print(f"{route['name']} → {shown(_spelled(route))}{fallbacks}")


def _facts(route: "Route") -> dict[str, Any]:
    settings = route.settings()
    targets = [{"target": target, "percent": percent} for target, percent in route.percent_of.items()]
    return (
        {"name": route.name, "target": route.target}
        | settings
        | {
            "targets": targets,
            "updated_at": route.updated_at,
        }
    )


def _open() -> "Routes":
    from llmos.deployments.routing.routes import Routes
    from llmos.models import open_registry

    return Routes(open_registry(load_settings()))
