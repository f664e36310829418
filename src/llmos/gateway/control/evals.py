"""/llmos/v1/evals: runs of suites of cases: start one, see what it came to, compare two."""

import asyncio
from functools import partial
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Request, Response
from msgspec import Meta

from llmos.core.errors import BadRequest, NotFound
from llmos.core.names import APP_PREFIX
from llmos.core.schemas.evals import EvalComparisonDescription, EvalRunDescription, EvalRunDetails
from llmos.data.evals import NewEvalRun
from llmos.data.evals.dataset_suites import DatasetSuite, read_dataset
from llmos.evals.asking import check_model
from llmos.evals.comparing import compare_runs
from llmos.evals.suite_reading import MAX_REPEATS, parse_suite
from llmos.evals.suites import Suite
from llmos.gateway.hosted_apps.may_run import check_may_run
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import RequestObject, parse_body, parse_query
from llmos.gateway.services import Services, services_of
from llmos.security.callers import Caller
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/evals", tags=["evals"])

_SUITE = {
    "name": "capitals",
    "cases": [{"id": "france", "input": "What is the capital of France?", "expect": {"contains": "Paris"}}],
}
_Model = Annotated[str, Meta(min_length=1, max_length=256)]


class EvalRuns(msgspec.Struct):
    data: list[EvalRunDescription]


class NewEval(RequestObject, kw_only=True):
    suite: dict[str, Any] | None = None
    """Cases with their checks. Either this or `dataset`."""
    dataset: Annotated[str, Meta(max_length=256)] | None = None
    """A dataset of the kind case, whose rows are the cases."""
    models: Annotated[list[_Model], Meta(max_length=2)] = msgspec.field(default_factory=list)
    """The route, model or application (app:NAME) that is asked, and one that it is compared with. Default: the suite's
    `model`."""
    repeat: Annotated[int, Meta(ge=1, le=MAX_REPEATS)] | None = None
    """The number of times that each case is run. Default: the suite's `repeat`, or once."""


class EvalsQuery(RequestObject, kw_only=True):
    suite: Annotated[str, Meta(max_length=128)] | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class CompareQuery(RequestObject, kw_only=True):
    to: Annotated[str, Meta(max_length=64)]
    """The run that it is compared with."""
    not_worse_by: Annotated[float, Meta(ge=0, lt=1)] = 0.05


@router.post(
    "",
    summary="Run an eval",
    status_code=202,
    openapi_extra=openapi.body(NewEval, {"suite": _SUITE, "models": ["dialogue"]}),
    responses=openapi.answers(EvalRunDescription, status=202),
)
@requires(Permission.EVALS_WRITE, "eval.run")
async def run_eval(request: Request) -> Response:
    """Starts a job, which asks in the background of live calls, and never out of the response cache. The same run that
    hasn't finished goes on, and asks nothing twice. 400 says what is wrong in a suite, 404 which model is missing."""
    body = await parse_body(request, NewEval)
    services, caller = services_of(request), caller_of(request)
    caller.check(Permission.INFERENCE)
    suite, source, subjects = await asyncio.to_thread(_read_suite, services, caller, body)
    models = body.models or ([suite.model] if suite.model else [])
    if not models:
        raise BadRequest("Neither `models` nor the suite's `model` names a model. Set one of them.", param="models")
    await _check_models(services, caller, suite, models)
    new = NewEvalRun(
        suite=suite, models=models, num_repeats=body.repeat or suite.repeat, source=source, subjects=subjects
    )
    return json_response(await asyncio.to_thread(begin_run, services, caller, new), 202)


def begin_run(services: Services, caller: Caller, new: NewEvalRun) -> EvalRunDescription:
    """Begin a run with its job, or return the one that does the same and goes on."""
    run = services.data.evals.begin(caller.project, new, actor=caller.actor)
    if run.job is not None and _is_live(services, run.job):
        return run
    job = services.jobs.create("eval", {"kind": "eval", "run": run.id}, project=caller.project, actor=caller.actor)
    return services.data.evals.set_job(caller.project, run.id, job.id)


def _is_live(services: Services, job: str) -> bool:
    try:
        return not services.jobs.get(job).has_ended
    except NotFound:  # It ended long ago.
        return False


@router.get(
    "", summary="List runs of evals", openapi_extra=openapi.query(EvalsQuery), responses=openapi.answers(EvalRuns)
)
@requires(Permission.EVALS_READ)
async def list_evals(request: Request) -> Response:
    """The evals of the key's project, newest first, without their cases."""
    query = parse_query(request, EvalsQuery)
    read = partial(
        services_of(request).data.evals.list, caller_of(request).project, suite=query.suite, limit=query.limit
    )
    return json_response(EvalRuns(await asyncio.to_thread(read)))


@router.get("/{id}", summary="Show a run of an eval", responses=openapi.answers(EvalRunDetails))
@requires(Permission.EVALS_READ)
async def get_eval(request: Request, id: str) -> Response:
    """With every case and every answer, also while it runs."""
    return json_response(await asyncio.to_thread(services_of(request).data.evals.get, caller_of(request).project, id))


@router.get(
    "/{id}/comparison",
    summary="Compare two runs of evals",
    openapi_extra=openapi.query(CompareQuery),
    responses=openapi.answers(EvalComparisonDescription),
)
@requires(Permission.EVALS_READ)
async def compare_evals(request: Request, id: str) -> Response:
    """Their first models, on the cases that both runs have answers to, by the ids of the cases."""
    query = parse_query(request, CompareQuery)
    services, project = services_of(request), caller_of(request).project

    def compare() -> EvalComparisonDescription:
        first, second = services.data.evals.get(project, id), services.data.evals.get(project, query.to)
        return compare_runs(first, second, query.not_worse_by)

    return json_response(await asyncio.to_thread(compare))


@router.delete("/{id}", summary="Remove a run of an eval", responses=openapi.answers(EvalRunDescription))
@requires(Permission.EVALS_WRITE, "eval.remove")
async def remove_eval(request: Request, id: str) -> Response:
    """With its answers. Returns what it was."""
    return json_response(
        await asyncio.to_thread(services_of(request).data.evals.remove, caller_of(request).project, id)
    )


def _read_suite(services: Services, caller: Caller, body: NewEval) -> DatasetSuite:
    """Return the suite, with the version of the dataset that it is of, if it is of one."""
    if (body.suite is None) == (body.dataset is None):
        raise BadRequest("Send either `suite` or `dataset`.", param="suite")
    if body.dataset is None:
        return DatasetSuite(parse_suite(body.suite, "The suite"), "", frozenset())
    caller.check(Permission.DATASETS_READ)
    return read_dataset(services.data.datasets.of(caller.project), body.dataset)


async def _check_models(services: Services, caller: Caller, suite: Suite, models: list[str]) -> None:
    """Raise what is wrong with a name before anything is asked."""
    if len({*models}) < len(models):
        raise BadRequest(f"{models[0]} can't be compared with itself. Name two different models.", param="models")
    for model in models:
        check_model(suite, model)
        caller.check_model(model)
        if not model.startswith(APP_PREFIX):
            await services.pipeline.backend(model)
        else:
            await _check_app(services, caller, model.removeprefix(APP_PREFIX))


async def _check_app(services: Services, caller: Caller, name: str) -> None:
    """Raise what is wrong with the name of an application: NAME, or NAME@NUMBER, which may not be deployed."""
    caller.check(Permission.APPS_RUN)
    if "@" not in name:
        services.supervisor.host(caller.project, name)
        return
    version = await asyncio.to_thread(services.data.app_versions.of(caller.project).resolve, name)
    manifest = await asyncio.to_thread(services.supervisor.manifest, caller.project, version.ref)
    check_may_run(caller, manifest, is_open_to_projects=services.settings.project_apps)
