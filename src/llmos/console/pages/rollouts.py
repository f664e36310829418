"""Rollouts: begin one, watch its steps and its gate's numbers, roll it back, and read what happened."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.responses import Response

from llmos.console import code
from llmos.console.forms import lines, percents, whole_number
from llmos.console.page import Fragments, Page
from llmos.console.tables import Column, Table
from llmos.console.view import View
from llmos.core.errors import BadRequest, NotFound
from llmos.core.schemas.models import ModelDescription
from llmos.core.schemas.rollouts import RolloutDescription, RolloutEventDescription
from llmos.core.schemas.routes import RouteDescription, RouteEvidence, TargetEvidence

PAGE = Page(
    name="deployments",
    path="/deployments/rollouts",
    permission="rollouts:read",
    in_navigation=False,
    tab="rollouts.title",
)

ACTIVE = ("starting", "running")
STEPS = "5, 25, 100"
GATE = "error_rate <= 1% and p95_first_token <= 1.5x and tokens_per_second >= 0.7x"
"""The values that the form begins with: the server's defaults."""

_ROLLOUTS: Sequence[Column[RolloutDescription]] = (
    Column(
        name="id", title="rollouts.id", value=lambda row: row.id, link=lambda row: f"/deployments/rollouts/{row.id}"
    ),
    Column(
        name="route",
        title="routes.one",
        value=lambda row: row.route,
        link=lambda row: f"/deployments/routes/{row.route}",
    ),
    Column(
        name="version", title="models.version", value=lambda row: row.version, link=lambda row: f"/models/{row.version}"
    ),
    Column(name="state", title="deployments.state", value=lambda row: row.state, kind="state"),
    Column(name="percent", title="rollouts.percent", value=lambda row: row.percent, kind="number"),
    Column(name="created_at", title="rollouts.began", value=lambda row: row.created_at, kind="time"),
    Column(name="reason", title="deployments.reason", value=lambda row: row.reason),
)
_EVENTS: Sequence[Column[RolloutEventDescription]] = (
    Column(name="at", title="deployments.at", value=lambda row: row.at, kind="time"),
    Column(name="kind", title="deployments.event", value=lambda row: row.kind),
    Column(name="actor", title="deployments.actor", value=lambda row: row.actor),
    Column(name="reason", title="deployments.reason", value=lambda row: row.reason),
)


@dataclass(frozen=True, slots=True)
class GateRow:
    """One condition of a gate, and the values that it is judged by."""

    metric: str
    limit: str
    now: float | None
    before: float | None
    """The value of the previous main target in this step, or else the last known one."""


@dataclass(frozen=True, slots=True)
class Progress:
    num_calls: int
    """The number of calls that count for the step: answered or failed."""
    gate: Sequence[GateRow]


@PAGE.get()
async def list_rollouts(view: View) -> Response:
    found = await view.api.list(RolloutDescription, "/llmos/v1/rollouts")
    rollouts = Table(view, "rollouts", _ROLLOUTS, found, empty="rollouts.none")
    if rollouts.is_wanted_as_csv:
        return rollouts.csv()
    may_begin = view.may("rollouts:write")
    return view.render(
        "rollouts.html",
        rollouts=rollouts,
        may_begin=may_begin,
        models=await view.api.list(ModelDescription, "/llmos/v1/models") if may_begin else [],
        routes=await view.api.list(RouteDescription, "/llmos/v1/routes") if may_begin else [],
        default_steps=STEPS,
        default_gate=GATE,
        active=[each for each in found if each.state in ACTIVE],
        code=code.changing(
            "POST",
            f'llmos promote smollm2@2 --route chat --steps 5%,25%,100% --gate "{GATE}"',
            "/llmos/v1/rollouts",
            {"version": "smollm2@2", "route": "chat", "steps": [5, 25, 100], "gate": GATE},
            f'client.rollouts.promote("smollm2@2", "chat", steps=[5, 25, 100], gate="{GATE}")',
        ),
    )


@PAGE.live()
async def watch_rollouts(view: View) -> Fragments:
    found = await view.api.list(RolloutDescription, "/llmos/v1/rollouts")
    return {"active": view.html("rollouts_active.html", active=[each for each in found if each.state in ACTIVE])}


@PAGE.post("/begin")
async def begin(view: View) -> Response:
    form = await view.form()
    version, route = form.get("version", ""), form.get("route", "")
    if not version or not route:
        raise BadRequest(view.t("rollouts.no_version_or_route"))
    body: dict[str, Any] = {
        "version": version,
        "route": route,
        "steps": percents(view, form.get("steps", STEPS)),
        "gate": form.get("gate", "").strip() or GATE,
        "min_calls": whole_number(view, form, "min_calls", 20),
        "cases": [_read_case(view, line) for line in lines(form, "cases")],
        "force": "force" in form,
    }
    if form.get("max_hold_seconds", "").strip():
        body["max_hold_seconds"] = whole_number(view, form, "max_hold_seconds", 1)
    begun: Any = await view.api.post("/llmos/v1/rollouts", body)
    return view.redirect(
        f"/deployments/rollouts/{begun['id']}", view.t("rollouts.begun", version=begun["version"], route=route)
    )


@PAGE.get("/{id}")
async def show_rollout(view: View) -> Response:
    rollout = await _rollout(view)
    events = await view.api.list(RolloutEventDescription, f"/llmos/v1/rollouts/{rollout.id}/history")
    history = Table(view, "events", _EVENTS, events[::-1], empty="deployments.no_events")
    if history.is_wanted_as_csv:
        return history.csv()
    return view.render(
        "rollout.html",
        each=rollout,
        progress=await _progress(view, rollout),
        history=history,
        may_roll_back=view.may("rollouts:write") and rollout.state in (*ACTIVE, "finished"),
        code=code.changing(
            "DELETE",
            f"llmos rollback {rollout.route}",
            f"/llmos/v1/routes/{rollout.route}/rollout",
            None,
            f'client.rollouts.roll_back("{rollout.route}")',
        ),
    )


@PAGE.live("/{id}")
async def watch_rollout(view: View) -> Fragments:
    rollout = await _rollout(view)
    progress = await _progress(view, rollout)
    return {"rollout": view.html("rollout_state.html", each=rollout, progress=progress)}


@PAGE.post("/{id}/roll-back")
async def roll_back(view: View) -> Response:
    await view.form()
    rollout = await _rollout(view)
    view.form_came_from = f"/deployments/rollouts/{rollout.id}"
    newest = await view.api.list(RolloutDescription, "/llmos/v1/rollouts", route=rollout.route)
    if newest[0].id != rollout.id:  # The endpoint would roll that one back.
        raise BadRequest(view.t("rollouts.is_not_last", route=rollout.route, id=newest[0].id))
    await view.api.delete(f"/llmos/v1/routes/{rollout.route}/rollout")
    return view.redirect(view.form_came_from, view.t("rollouts.rolled_back", route=rollout.route))


async def _rollout(view: View) -> RolloutDescription:
    id = view.request.path_params["id"]
    if not (id.isascii() and id.isdigit() and len(id) < 10):
        raise NotFound(view.t("rollouts.no_such", id=id[:40]))
    return await view.api.read(RolloutDescription, f"/llmos/v1/rollouts/{id}")


async def _progress(view: View, rollout: RolloutDescription) -> Progress | None:
    """Return what the calls since the step began say; None where no step runs, or the Route is gone."""
    if rollout.state not in ACTIVE or rollout.step_began_at is None:
        return None
    since = rollout.step_began_at.isoformat()
    try:
        evidence = await view.api.read(RouteEvidence, f"/llmos/v1/routes/{rollout.route}/evidence", since=since)
    except NotFound:
        return None
    windows = {each.target: each for each in evidence.targets}
    own = windows.get(rollout.version, TargetEvidence())
    others = {target: share for target, share in rollout.before.items() if target != rollout.version}
    main = max(others, key=lambda target: others[target], default="")
    before = windows.get(main, TargetEvidence())
    return Progress(
        own.num_answered + own.num_failed,
        [GateRow(metric, limit, *_values(metric, rollout, own, before)) for metric, limit in _conditions(rollout.gate)],
    )


def _conditions(gate: str) -> list[tuple[str, str]]:
    """Return each condition as its metric and its limit: "error_rate <= 1%" is ("error_rate", "<= 1%")."""
    conditions = [re.match(r"\s*(\w+)\s*(.*?)\s*$", each) for each in re.split(r"\band\b", gate)]
    return [(found[1], found[2]) for found in conditions if found]


def _values(
    metric: str, rollout: RolloutDescription, own: TargetEvidence, before: TargetEvidence
) -> tuple[float | None, float | None]:
    if metric == "score":
        return rollout.scores.get("new"), rollout.scores.get("before")
    known = _metric(metric, before)
    return _metric(metric, own), rollout.baseline.get(metric) if known is None else known


def _metric(metric: str, window: TargetEvidence) -> float | None:
    if metric == "error_rate":
        return window.error_rate
    if metric == "tokens_per_second":
        return None if window.tokens_per_second is None else window.tokens_per_second.mean
    percentile, _, name = metric.partition("_")
    spread = {"first_token": window.first_token_seconds, "seconds": window.seconds}.get(name)
    value: float | None = getattr(spread, percentile, None)
    return value


def _read_case(view: View, line: str) -> Mapping[str, Any]:
    try:
        case = msgspec.json.decode(line)
    except msgspec.DecodeError:
        case = None
    if not isinstance(case, dict):
        raise BadRequest(view.t("rollouts.no_case", line=line[:60]))
    return case
