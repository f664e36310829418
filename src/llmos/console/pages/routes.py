"""Routes: list and create them, set shares and settings, and see what came of their calls."""

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from llmos.console import code
from llmos.console.api import quote_path
from llmos.console.forms import decimal_number, lines
from llmos.console.page import Page
from llmos.console.tables import Column, Table
from llmos.console.view import View
from llmos.core.errors import BadRequest
from llmos.core.schemas.models import ModelDescription
from llmos.core.schemas.providers import ProviderDescription
from llmos.core.schemas.rollouts import RolloutDescription
from llmos.core.schemas.routes import RouteDescription, RouteEvidence, RouteMove, TargetEvidence

PAGE = Page(
    name="deployments", path="/deployments/routes", permission="routes:read", in_navigation=False, tab="routes.title"
)

STICKY = ("user", "caller", "none")

_ROUTES: Sequence[Column[RouteDescription]] = (
    Column(
        name="name",
        title="routes.name",
        value=lambda row: row.name,
        link=lambda row: _page(row.name),
    ),
    Column(
        name="targets",
        title="routes.targets",
        value=lambda row: ", ".join(f"{each.target} {each.percent:g} %" for each in row.targets),
    ),
    Column(name="fallbacks", title="routes.fallbacks", value=lambda row: ", ".join(row.fallbacks)),
    Column(name="missing", title="routes.missing", value=lambda row: ", ".join(row.missing)),
    Column(name="updated_at", title="routes.updated", value=lambda row: row.updated_at, kind="time"),
)
_EVIDENCE: Sequence[Column[TargetEvidence]] = (
    Column(name="target", title="routes.target", value=lambda row: row.target),
    Column(name="num_calls", title="routes.calls", value=lambda row: row.num_calls, kind="number"),
    Column(name="num_failed", title="routes.failed", value=lambda row: row.num_failed, kind="number"),
    Column(
        name="first_token_ms",
        title="routes.first_token",
        value=lambda row: row.first_token_seconds and round(row.first_token_seconds.p95 * 1000),
        kind="number",
    ),
    Column(
        name="tokens_per_second",
        title="routes.speed",
        value=lambda row: row.tokens_per_second and round(row.tokens_per_second.p50),
        kind="number",
    ),
)
_MOVES: Sequence[Column[RouteMove]] = (
    Column(name="moved_at", title="deployments.at", value=lambda row: row.moved_at, kind="time"),
    Column(name="moved_by", title="deployments.actor", value=lambda row: row.moved_by),
    Column(name="before", title="routes.before", value=lambda row: _settings(row.before)),
    Column(name="after", title="routes.after", value=lambda row: _settings(row.after)),
    Column(name="reason", title="deployments.reason", value=lambda row: row.reason),
)


@PAGE.get()
async def list_routes(view: View) -> Response:
    found = await view.api.list(RouteDescription, "/llmos/v1/routes")
    routes = Table(view, "routes", _ROUTES, found, empty="routes.none")
    if routes.is_wanted_as_csv:
        return routes.csv()
    may_write = view.may("routes:write")
    return view.render(
        "routes.html",
        routes=routes,
        may_write=may_write,
        known_targets=await _known_targets(view) if may_write else [],
        code=code.changing(
            "PUT",
            "llmos route set chat smollm2",
            "/llmos/v1/routes/chat",
            {"target": "smollm2"},
            'client.routes.set("chat", "smollm2")',
        ),
    )


@PAGE.post("/create")
async def create_route(view: View) -> Response:
    form = await view.form()
    view.form_came_from = "/deployments/routes"
    name, target = form.get("name", "").strip(), form.get("target", "").strip()
    if not name or not target:
        raise BadRequest(view.t("routes.no_name_or_target"))
    names = [route.name for route in await view.api.list(RouteDescription, "/llmos/v1/routes")]
    if name in names:  # The endpoint would replace it.
        raise BadRequest(view.t("routes.exists", name=name))
    await view.api.put(f"/llmos/v1/routes/{name}", {"target": target, "reason": form.get("reason") or None})
    return view.redirect(_page(name), view.t("routes.created", name=name))


@PAGE.get("/{name:path}")
async def show_route(view: View) -> Response:
    name = _name(view)
    route = await view.api.read(RouteDescription, f"/llmos/v1/routes/{name}")
    evidence = await view.api.read(RouteEvidence, f"/llmos/v1/routes/{name}/evidence")
    moves = await view.api.list(RouteMove, f"/llmos/v1/routes/{name}/history")
    targets = Table(view, "evidence", _EVIDENCE, evidence.targets, empty="routes.no_evidence")
    history = Table(view, "moves", _MOVES, moves, empty="routes.no_moves")
    for table in (targets, history):
        if table.is_wanted_as_csv:
            return table.csv()
    may_write = view.may("routes:write")
    return view.render(
        "route.html",
        route=route,
        sticky=STICKY,
        rollouts=await _active_rollouts(view, name),
        evidence=targets,
        shadow=evidence.shadow,
        history=history,
        may_write=may_write,
        known_targets=await _known_targets(view) if may_write else [],
        code=_code(route),
    )


@PAGE.post("/{name:path}/weights")
async def set_weights(view: View) -> Response:
    form, name = await _change(view)
    route = await view.api.read(RouteDescription, f"/llmos/v1/routes/{name}")
    shares = {}
    for index, each in enumerate(route.targets):
        if form.get(f"target-{index}", each.target) != each.target:
            raise BadRequest(view.t("routes.changed", name=name))
        shares[each.target] = decimal_number(view, form.get(f"percent-{index}") or "0")
    if added := form.get("new-target", "").strip():
        shares[added] = decimal_number(view, form.get("new-percent") or "0")
    targets = [{"target": target, "percent": percent} for target, percent in shares.items()]
    body = {"targets": targets, "reason": form.get("reason", "")}
    await view.api.put(f"/llmos/v1/routes/{name}/weights", body)
    return view.redirect(view.form_came_from, view.t("routes.weighed", name=name))


@PAGE.post("/{name:path}/settings")
async def change_settings(view: View) -> Response:
    form, name = await _change(view)
    route = await view.api.read(RouteDescription, f"/llmos/v1/routes/{name}")
    body: dict[str, Any] = {
        "targets": [{"target": each.target, "percent": each.percent} for each in route.targets],
        "fallbacks": lines(form, "fallbacks"),
        "sticky": form.get("sticky", "user"),
        "cache": "cache" in form,
        "reason": form.get("reason") or None,
    }
    if shadow := form.get("shadow", "").strip():
        body["shadow"] = {"target": shadow, "percent": decimal_number(view, form.get("shadow_percent") or "100")}
    if seconds := form.get("timeout", "").strip():
        body["timeout_seconds"] = decimal_number(view, seconds)
    await view.api.put(f"/llmos/v1/routes/{name}", body)
    return view.redirect(view.form_came_from, view.t("routes.settings_changed", name=name))


@PAGE.post("/{name:path}/remove")
async def remove_route(view: View) -> Response:
    _, name = await _change(view)
    await view.api.delete(f"/llmos/v1/routes/{name}")
    return view.redirect("/deployments/routes", view.t("routes.removed", name=name))


async def _change(view: View) -> tuple[Mapping[str, str], str]:
    """Return the fields of a form on a Route's page, and the Route's name."""
    form, name = await view.form(), _name(view)
    view.form_came_from = _page(name)
    return form, name


def _name(view: View) -> str:
    name: str = view.request.path_params["name"]
    return name


def _page(name: str) -> str:
    return f"/deployments/routes/{name}"


async def _known_targets(view: View) -> list[str]:
    """Return what a visitor may want to type: stored models, their Versions, and the providers."""
    models = await view.api.list(ModelDescription, "/llmos/v1/models")
    names = [each for model in models for each in (model.name, model.version)]
    if view.may("providers:read"):
        providers = await view.api.list(ProviderDescription, "/llmos/v1/providers")
        names += [f"remote:{provider.name}/" for provider in providers]
    return list(dict.fromkeys(names))


async def _active_rollouts(view: View, name: str) -> list[RolloutDescription]:
    if not view.may("rollouts:read"):
        return []
    rollouts = await view.api.list(RolloutDescription, "/llmos/v1/rollouts", route=name)
    return [each for each in rollouts if each.state in ("starting", "running")]


def _code(route: RouteDescription) -> code.Code:
    shares = {each.target: each.percent for each in route.targets}
    words = " ".join(f"{target}={percent:g}" for target, percent in shares.items())
    python = ", ".join(f'"{target}": {percent:g}' for target, percent in shares.items())
    return code.changing(
        "PUT",
        f'llmos route weights {route.name} {words} --reason "…"',
        f"/llmos/v1/routes/{quote_path(route.name)}/weights",
        {"targets": [{"target": target, "percent": percent} for target, percent in shares.items()], "reason": "…"},
        f'client.routes.set_weights("{route.name}", {{{python}}}, reason="…")',
    )


def _settings(settings: Mapping[str, Any] | None) -> str:
    """Return a Route's targets before or after a change, in a line."""
    targets: Mapping[str, float] = (settings or {}).get("targets", {})
    return ", ".join(f"{target} {percent:g} %" for target, percent in targets.items())
