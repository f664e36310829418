"""llmos route set, weights, list, show, history, rm: the names that callers ask for, and the models that answer."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from llmos.cli import options
from llmos.cli.control import open_control
from llmos.cli.output import fields_of, print_facts, print_json, print_table, stdout
from llmos.core.config import load_settings
from llmos.core.errors import BadRequest
from llmos.core.schemas.routes import RouteDescription, RouteDetails, ShadowEvidence, TargetEvidence

_Name = Annotated[str, typer.Argument(metavar="NAME", help="The name that callers ask for.")]
_Targets = Annotated[
    list[str],
    typer.Argument(
        metavar="TARGET",
        help="A model, or remote:PROVIDER/MODEL. With percents if there are several: smollm2@1=95 smollm2@2=5.",
    ),
]
_Reason = Annotated[str | None, typer.Option(help="The reason, for the history.", show_default=False)]


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        no_args_is_help=True, help="Manage routes: names that callers request, and the models that answer."
    )
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
        list[str] | None, typer.Option(help="Target to try if a target fails. Can be repeated, in order.")
    ] = None,
    shadow: Annotated[
        str | None,
        typer.Option(metavar="TARGET[=PERCENT]", help="Target that also runs the calls, to compare its answers."),
    ] = None,
    sticky: Annotated[
        str,
        typer.Option(
            help="Send all calls of one user or one caller (API key) to the same target: user, caller or none."
        ),
    ] = "user",
    timeout: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Limit for the first token, or for an answer that isn't streamed."),
    ] = None,
    cache: Annotated[
        bool, typer.Option("--cache", help="Cache answers to deterministic requests, with temperature 0 or a seed.")
    ] = False,
    reason: _Reason = None,
    as_json: options.AsJson = False,
) -> None:
    """Create or replace a route. Takes effect with the next request."""
    settings: Any = {
        "fallbacks": fallback or None,
        "shadow": None if shadow is None else _shadow(shadow),
        "sticky": None if sticky == "user" else sticky,
        "timeout_seconds": timeout,
        "cache": cache or None,
        "reason": reason,
    }
    with open_control(load_settings()) as control:
        route = control.routes.set(name, _shares(targets), **settings)
    _print_route(route, as_json)


def weights(name: _Name, targets: _Targets, reason: _Reason = None, as_json: options.AsJson = False) -> None:
    """Change the targets of a route and their percents, all at once. Its other settings stay."""
    shares = _shares(targets)
    percent_of = {shares: 100.0} if isinstance(shares, str) else shares
    with open_control(load_settings()) as control:
        route = control.routes.set_weights(name, percent_of, reason=reason or "")
    _print_route(route, as_json)


def list_(as_json: options.AsJson = False) -> None:
    """List routes and the versions that answer now."""
    with open_control(load_settings()) as control:
        routes = control.routes.list()
    if as_json:
        print_json(routes)
        return
    columns = {"name": "route", "targets": "targets", "version": "answers now", "updated_at": "since"}
    print_table([{**fields_of(route), "targets": _render_targets(route)} for route in routes], columns)


def show(name: _Name, as_json: options.AsJson = False) -> None:
    """Show a route, the recent outcomes of its calls, and a comparison with its shadow."""
    with open_control(load_settings()) as control:
        route, evidence = control.routes.get(name), control.routes.evidence(name)
    if as_json:
        print_json(RouteDetails(**fields_of(route), evidence=evidence))
        return
    print_facts(
        {
            "route": route.name,
            "targets": _render_targets(route),
            "fallbacks": route.fallbacks or None,
            "shadow": None if route.shadow is None else f"{route.shadow.target} {route.shadow.percent:g} %",
            "sticky": route.sticky,
            "timeout_seconds": route.timeout_seconds,
            "cache": route.cache,
            "updated_at": route.updated_at,
        }
    )
    if evidence is None:
        stdout().print("The outcomes of its calls are known to the server that runs them: llmos serve")
        return
    columns = {
        "target": "target", "num_calls": "calls", "num_answered": "answered", "num_failed": "failed",
        "errors": "errors", "first_token": "first token p95", "pace": "tokens/s",
    }  # fmt: skip
    print_table([_row(target) for target in evidence.targets], columns)
    if evidence.shadow is not None:
        stdout().print(_compare(evidence.shadow))


def history(name: _Name, as_json: options.AsJson = False) -> None:
    """Show the changes of a route, newest first, with time, actor and reason."""
    with open_control(load_settings()) as control:
        moves = control.routes.history(name)
    if as_json:
        print_json(moves)
        return
    rows = [
        {"at": move.moved_at, "by": move.moved_by, "to": _moved_to(move.after), "reason": move.reason} for move in moves
    ]
    print_table(rows, {"at": "when", "by": "who", "to": "to", "reason": "why"})


def rm(name: _Name) -> None:
    """Remove a route. Requests for the name then fail with 404."""
    with open_control(load_settings()) as control:
        control.routes.remove(name)
    stdout().print(f"Removed the route {name}.")


def _shares(targets: Sequence[str]) -> str | dict[str, float]:
    """Return the single target, or each target with its percent. Raises BadRequest for a missing or second percent."""
    found = [_target_and_percent(target) for target in targets]
    if len(found) == 1 and found[0][1] is None:
        return found[0][0]
    shares: dict[str, float] = {}
    for target, percent in found:
        if percent is None:
            raise BadRequest(
                f"{target} has no percent. Several targets add up to 100: {target}=95 OTHER=5", param="target"
            )
        if target in shares:
            raise BadRequest(f"{target} is given twice. Give it one percent.", param="target")
        shares[target] = percent
    return shares


def _shadow(text: str) -> Mapping[str, Any]:
    target, percent = _target_and_percent(text)
    return {"target": target, "percent": 100.0 if percent is None else percent}


def _target_and_percent(text: str) -> tuple[str, float | None]:
    target, equals, percent = text.rpartition("=")
    if not equals:
        return text, None
    try:
        return target, float(percent.removesuffix("%"))
    except ValueError:
        raise BadRequest(
            f"{percent!r} in {text!r:.200} is not a percentage. Write {target}=5", param="target"
        ) from None


def _row(target: TargetEvidence) -> dict[str, Any]:
    first, pace = target.first_token_seconds, target.tokens_per_second
    return {
        **fields_of(target),
        "errors": ", ".join(f"{code} {num}" for code, num in target.errors.items()) or None,
        "first_token": first and f"{first.p95:.3f} s",
        "pace": pace and f"{pace.p50:.1f}",
    }


def _compare(shadow: ShadowEvidence) -> str:
    text = f"Shadow {shadow.target}: {shadow.num_calls} calls, {shadow.num_failed} failed"
    if shadow.num_compared:
        text += f"; {shadow.num_agreed} of {shadow.num_compared} comparable answers are equal"
        text += f", {100 * (shadow.common_share or 0):.0f} % of the text in common"
    if shadow.seconds and shadow.shadow_seconds:
        text += f"; {shadow.shadow_seconds.p50:.2f} s against {shadow.seconds.p50:.2f} s"
    return f"{text}."


def _moved_to(settings: Mapping[str, Any] | None) -> str:
    return "removed" if settings is None else _render_shares(settings["targets"])


def _render_targets(route: RouteDescription) -> str:
    return _render_shares({each.target: each.percent for each in route.targets}) or route.target


def _render_shares(percent_of: Mapping[str, float]) -> str:
    if len(percent_of) == 1:
        return next(iter(percent_of))
    return ", ".join(f"{target} {percent:g} %" for target, percent in percent_of.items())


def _print_route(route: RouteDescription, as_json: bool) -> None:
    if as_json:
        print_json(route)
        return
    fallbacks = "".join(f", else {fallback}" for fallback in route.fallbacks)
    stdout().print(f"{route.name} → {_render_targets(route)}{fallbacks}")
