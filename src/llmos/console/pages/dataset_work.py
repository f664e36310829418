"""Work on datasets: queries, differences with reasons, cleaning with a recipe, and the jobs that do it."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response

from llmos.console import code
from llmos.console.page import Fragments, Page
from llmos.console.view import View
from llmos.core.errors import BadRequest, LLMOSError
from llmos.core.schemas.base import read_description
from llmos.core.schemas.dataset_cleaning import ForecastDescription, OperatorDescription
from llmos.core.schemas.datasets import DatasetDetails, DifferenceDescription, QueryDescription
from llmos.core.schemas.jobs import JobDescription

_API = "/llmos/v1/datasets"
_JOBS = "/llmos/v1/jobs"
_KINDS = ("dataset_import", "dataset_clean", "dataset_check")
_FIRST_QUERY = "select language, split, count(*) as rows from rows group by all order by rows desc"
_QUERY_ROWS = 500
_DIFF_ROWS = 100

_FIRST_RECIPE = '[{"name": "normalize"}, {"name": "exact_duplicates", "by": "question"}]'


def register(page: Page) -> None:
    page.get("/{ref}/query")(show_query)
    page.get("/{ref}/diff")(show_difference)
    page.get("/{ref}/clean")(show_cleaning)
    page.post("/{ref}/clean")(start_cleaning)
    page.get("/jobs/{id}")(show_job)
    page.live("/jobs/{id}")(watch_job)
    page.live()(watch_jobs)


async def jobs(view: View) -> Sequence[JobDescription]:
    """Return the work on datasets that runs, and the newest that failed."""
    if not view.may("jobs:read"):
        return []
    found = [job for kind in _KINDS for job in await view.api.list(JobDescription, _JOBS, kind=kind, limit=3)]
    found = [job for job in found if job.project == view.session.project]
    running = [job for job in found if job.state in ("queued", "running")]
    failed = [job for job in found if job.state in ("failed", "interrupted")]
    failed.sort(key=lambda job: str(job.created_at), reverse=True)
    return running or failed[:1]


async def watch_jobs(view: View) -> Fragments:
    return {"jobs": view.html("dataset_jobs.html", jobs=await jobs(view))}


async def show_query(view: View) -> Response:
    ref = view.request.path_params["ref"]
    details = await view.api.read(DatasetDetails, f"{_API}/{ref}")
    sql = view.query("sql")[:20_000]
    result, problem = None, ""
    if sql.strip():
        # A query changes nothing. The server takes it as a POST, which needs the visitor's token.
        view.api.csrf_token = view.session.csrf_token
        try:
            body = {"sql": sql, "limit": _QUERY_ROWS}
            found = await view.api.post(f"{_API}/{details.version}/query", body)
            result = read_description(QueryDescription, found)
        except LLMOSError as error:
            problem = error.message
    shown = sql or _FIRST_QUERY
    return view.render(
        "dataset_query.html",
        details=details,
        sql=shown,
        result=result,
        problem=problem,
        code=code.changing(
            "POST",
            shlex.join(["llmos", "dataset", "query", details.version, shown]),
            f"{_API}/{details.version}/query",
            {"sql": shown},
            f'print(client.datasets.query("{details.version}", {shown!r}).rows)',
        ),
    )


async def show_difference(view: View) -> Response:
    ref, to = view.request.path_params["ref"], view.query("to").strip()
    details = await view.api.read(DatasetDetails, f"{_API}/{ref}")
    difference = None
    if to:
        difference = await view.api.read(
            DifferenceDescription, f"{_API}/{details.version}/diff", to=to, limit=_DIFF_ROWS
        )
    newer = to or next((each for each in reversed(details.versions) if each != details.version), details.version)
    return view.render(
        "dataset_diff.html",
        details=details,
        to=newer,
        difference=difference,
        limit=_DIFF_ROWS,
        code=code.reading(
            f"llmos dataset diff {details.version} {newer}",
            f"{_API}/{details.version}/diff?{urlencode({'to': newer})}",
            f'print(client.datasets.diff("{details.version}", "{newer}"))',
        ),
    )


async def show_cleaning(view: View) -> Response:
    ref = view.request.path_params["ref"]
    details = await view.api.read(DatasetDetails, f"{_API}/{ref}")
    recipe = view.query("recipe")[:20_000] or _FIRST_RECIPE
    return view.render(
        "dataset_clean.html",
        details=details,
        recipe=recipe,
        operators=await view.api.list(OperatorDescription, "/llmos/v1/dataset-operators"),
        may_clean=view.may("datasets:write") and view.may("jobs:write"),
        code=code.changing(
            "POST",
            f"llmos dataset check {details.version} --recipe recipe.toml",
            _JOBS,
            {"kind": "dataset_check", "dataset": details.version, "operators": _operators_or_none(recipe)},
            f'print(client.datasets.check("{details.version}", {recipe}))',
        ),
    )


async def start_cleaning(view: View) -> Response:
    form, ref = await view.form(), view.request.path_params["ref"]
    recipe = form.get("recipe", "")
    view.form_came_from = f"/datasets/{ref}/clean?{urlencode({'recipe': recipe[:2000]})}"
    operators = _operators_or_none(recipe)
    if operators is None:
        raise BadRequest(view.t("datasets.no_recipe"))
    is_check = form.get("do") != "clean"
    body: dict[str, Any] = {
        "kind": "dataset_check" if is_check else "dataset_clean",
        "dataset": ref,
        "operators": operators,
    }
    if not is_check and form.get("name", "").strip():
        body["name"] = form["name"].strip()
    job = read_description(JobDescription, await view.api.post(_JOBS, body))
    return view.redirect(f"/datasets/jobs/{job.id}")


async def show_job(view: View) -> Response:
    job = await _job(view)
    return view.render("dataset_job.html", **_outcome(job), code=_job_code(job))


async def watch_job(view: View) -> Fragments:
    return {"outcome": view.html("dataset_outcome.html", **_outcome(await _job(view)))}


async def _job(view: View) -> JobDescription:
    return await view.api.read(JobDescription, f"{_JOBS}/{view.request.path_params['id']}")


def _outcome(job: JobDescription) -> Mapping[str, Any]:
    forecast = None
    if job.kind == "dataset_check" and job.result is not None:
        forecast = read_description(ForecastDescription, job.result)
    made = job.result.get("version") if job.result is not None and forecast is None else None
    return {"job": job, "forecast": forecast, "made": made, "dataset": job.request.get("dataset")}


def _job_code(job: JobDescription) -> code.Code:
    return code.reading(f"llmos job follow {job.id}", f"{_JOBS}/{job.id}", f'print(client.jobs.get("{job.id}").state)')


def _operators_or_none(recipe: str) -> list[dict[str, Any]] | None:
    """Return the operators of a recipe in JSON; None if it is none."""
    try:
        return msgspec.json.decode(recipe.encode(), type=list[dict[str, Any]])
    except msgspec.DecodeError:
        return None
