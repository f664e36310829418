"""/llmos/v1/apps/NAME/replays: a Version and the deployed one, asked the same recorded traffic."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Request, Response
from msgspec import Meta

from llmos.core.errors import Conflict, NotFound
from llmos.core.names import APP_PREFIX
from llmos.core.schemas.evals import EvalRunDescription
from llmos.core.schemas.releases import ReplayDescription
from llmos.evals.reports import replay_sentences
from llmos.gateway.control.app_releases import release_rooms
from llmos.gateway.control.evals import begin_run
from llmos.gateway.hosted_apps.may_run import check_may_run
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import RequestObject, parse_body
from llmos.gateway.releases.planning import current_of
from llmos.gateway.releases.replaying import MAX_RUNS, Recorder, Traffic
from llmos.gateway.services import services_of
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/apps", tags=["apps"])

_NEEDED = (
    Permission.EVALS_WRITE,
    Permission.INFERENCE,
    Permission.APPS_RUN,
    Permission.APPS_READ,
)


class ReplayRequest(RequestObject, kw_only=True):
    version: Annotated[int, Meta(ge=1)]
    max_runs: Annotated[int, Meta(ge=1, le=MAX_RUNS)] = 200
    """The newest runs that are asked again, at most."""


@router.post(
    "/{name}/replays",
    summary="Ask two Versions recorded traffic",
    status_code=202,
    openapi_extra=openapi.body(ReplayRequest, {"version": 3, "max_runs": 200}),
    responses=openapi.answers(ReplayDescription, status=202),
)
@requires(Permission.APPS_DEPLOY, "release.replay")
async def replay_app(request: Request, name: str) -> Response:
    """The inputs of kept runs, whose callers have agreed to it (`consent: eval` in the app.yaml of the deployed
    Version), are asked of this Version and of that one. Tools aren't called: their results come out of the
    recorded runs. `job` runs it; it goes on where it was stopped. 409 if nothing is deployed to compare with."""
    body, services, caller = await parse_body(request, ReplayRequest), services_of(request), caller_of(request)
    rooms = release_rooms(request)
    for permission in _NEEDED:
        caller.check(permission)

    def begin() -> ReplayDescription:
        version, current = rooms.apps.resolve(f"{name}@{body.version}"), current_of(rooms, name)
        manifest = services.supervisor.manifest(caller.project, version.ref)
        check_may_run(caller, manifest, is_open_to_projects=services.settings.project_apps)
        if current is None:
            raise Conflict(f"Nothing of {name[:64]} is deployed, so there is no recorded traffic to compare with.")
        if current == version.ref:
            raise Conflict(f"{current} is deployed. To compare it with another version, name that one.")
        recorder = Recorder(rooms, services.data.app_runs, services.data.app_sessions)
        traffic = recorder.traffic(name, body.max_runs)
        if not traffic.cases:
            return _nothing(name, version.ref, current, traffic)
        return _described(begin_run(services, caller, recorder.eval_of(traffic, version, current)), traffic.left_out)

    return json_response(await asyncio.to_thread(begin), 202)


@router.get("/{name}/replays/{id}", summary="Show a replay", responses=openapi.answers(ReplayDescription))
@requires(Permission.APPS_READ)
async def get_app_replay(request: Request, name: str, id: str) -> Response:
    """`id` is that of its run of an eval, which has every answer: `GET /llmos/v1/evals/{id}`."""
    services, caller = services_of(request), caller_of(request)
    caller.check(Permission.EVALS_READ)
    run: EvalRunDescription = await asyncio.to_thread(partial(services.data.evals.get, caller.project, id))
    if len(run.models) != 2 or _app_of(run) != name:
        raise NotFound(f"{id[:64]} isn't a replay of the app {name[:64]}.", param="id")
    return json_response(_described(run))


def _app_of(run: EvalRunDescription) -> str:
    return run.models[0].removeprefix(APP_PREFIX).partition("@")[0]


def _described(run: EvalRunDescription, left_out: Sequence[str] = ()) -> ReplayDescription:
    version, against = (model.removeprefix(APP_PREFIX) for model in run.models)
    return ReplayDescription(
        app=_app_of(run),
        version=version,
        against=against,
        id=run.id,
        job=run.job,
        state=run.state,
        num_runs=run.num_cases,
        verdict=None if run.comparison is None else run.comparison.verdict,
        results=run.results,
        comparison=run.comparison,
        left_out=[*left_out],
        sentences=[] if run.verdict is None else replay_sentences(run),
    )


def _nothing(app: str, version: str, against: str, traffic: Traffic) -> ReplayDescription:
    few = [] if traffic.left_out else [f"{app} has no recorded run since its callers agreed. Try again later."]
    return ReplayDescription(
        app=app, version=version, against=against, state="finished", left_out=[*traffic.left_out], sentences=few
    )
