"""Evals: runs of suites with intervals beside the trivial baseline, gates, the cases that don't pass, comparisons."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from llmos.console import code
from llmos.console.forms import whole_number
from llmos.console.intervals import drawn_interval
from llmos.console.page import Fragments, Page
from llmos.console.tables import Column, Table
from llmos.console.view import View
from llmos.core.errors import BadRequest, NotFound
from llmos.core.schemas.base import read_description
from llmos.core.schemas.datasets import DatasetDescription
from llmos.core.schemas.evals import (
    EvalCaseDescription,
    EvalComparisonDescription,
    EvalRunDescription,
    EvalRunDetails,
)
from llmos.core.yaml_text import read_yaml

PAGE = Page(name="apps", path="/evals", permission="evals:read", in_navigation=False, tab="evals.title")

_API = "/llmos/v1/evals"
_LIMIT = 200
_WORST_FIRST = ("failed", "error", "passed")

_RUNS: Sequence[Column[EvalRunDescription]] = (
    Column(name="id", title="evals.run", value=lambda row: row.id, link=lambda row: f"/evals/{row.id}"),
    Column(name="suite", title="evals.suite", value=lambda row: row.suite),
    Column(name="models", title="evals.asked", value=lambda row: ", ".join(row.models)),
    Column(name="versions", title="evals.versions", value=lambda row: versions_of(row)),
    Column(name="passed", title="evals.passed", value=lambda row: passed_of(row)),
    Column(name="verdict", title="evals.verdict", value=lambda row: verdict_of(row), kind="state"),
    Column(name="actor", title="deployments.actor", value=lambda row: row.actor),
    Column(name="created_at", title="runs.began", value=lambda row: row.created_at, kind="time"),
)  # fmt: skip


def _case_columns(run: EvalRunDetails) -> Sequence[Column[EvalCaseDescription]]:
    return (
        Column(name="id", title="evals.case", value=lambda row: row.id, link=lambda row: case_path(run.id, row)),
        Column(name="model", title="evals.asked", value=lambda row: row.model),
        Column(name="state", title="keys.state", value=lambda row: row.state, kind="state"),
        Column(name="passed", title="evals.tries", value=lambda row: f"{row.num_passed}/{row.num_tries}"),
        Column(name="interval", title="evals.interval", value=lambda row: f"{row.low:.0%} – {row.high:.0%}"),
        Column(name="reason", title="deployments.reason", value=lambda row: row.reason),
    )


@PAGE.get()
async def list_evals(view: View) -> Response:
    suite = view.query("suite")
    found = await view.api.list(EvalRunDescription, _API, suite=suite, limit=_LIMIT)
    table = Table(view, "evals", _RUNS, found, empty="evals.none")
    if table.is_wanted_as_csv:
        return table.csv()
    may_run = view.may("evals:write") and view.may("inference")
    return view.render(
        "evals.html",
        table=table,
        suite=suite,
        may_run=may_run,
        datasets=await _case_datasets(view) if may_run else [],
        names=[each["id"] for each in (await view.api.get("/v1/models"))["data"]] if may_run else [],
        code=code.reading(
            "llmos eval list",
            _API,
            "for run in client.evals.list():\n    print(run.id, run.suite, run.verdict)",
        ),
        run_code=code.changing(
            "POST",
            "llmos eval run cases --model dialogue",
            _API,
            {"dataset": "cases", "models": ["dialogue"]},
            'run = client.evals.run(dataset="cases", models=["dialogue"])\nprint(run.verdict)',
        ),
    )


@PAGE.post("/run")
async def run_eval(view: View) -> Response:
    form = await view.form()
    view.form_came_from = "/evals"
    models = [form.get(name, "").strip() for name in ("model", "against")]
    body: dict[str, Any] = {"models": [model for model in models if model]}
    if form.get("repeat", "").strip():
        body["repeat"] = whole_number(view, form, "repeat", 1)
    if form.get("suite", "").strip():
        body["suite"] = _suite(view, form["suite"])
    elif form.get("dataset"):
        body["dataset"] = form["dataset"]
    else:
        raise BadRequest(view.t("evals.nothing_to_ask"))
    run = read_description(EvalRunDescription, await view.api.post(_API, body))
    return view.redirect(f"/evals/{run.id}", view.t("evals.started", suite=run.suite))


@PAGE.get("/{id}")
async def show_eval(view: View) -> Response:
    run = await _run(view)
    cases = Table(view, "cases", _case_columns(run), _worst_first(run.cases), empty="evals.no_cases")
    if cases.is_wanted_as_csv:
        return cases.csv()
    to = view.query("to")
    return view.render(
        "eval.html",
        run=run,
        cases=cases,
        others=[each for each in await _same_suite(view, run) if each.id != run.id],
        to=to,
        comparison=await view.api.read(EvalComparisonDescription, f"{_API}/{run.id}/comparison", to=to) if to else None,
        **_shown(run),
        code=code.reading(
            f"llmos eval show {run.id}",
            f"{_API}/{run.id}",
            f'run = client.evals.get("{run.id}")\nprint(run.verdict, [case.id for case in run.cases])',
        ),
        compare_code=code.reading(
            f"llmos eval compare {run.id} {to or 'eval-0'}",
            f"{_API}/{run.id}/comparison?{urlencode({'to': to or 'eval-0'})}",
            f'print(client.evals.compare("{run.id}", "{to or "eval-0"}").sentence)',
        ),
    )


@PAGE.live("/{id}")
async def watch_eval(view: View) -> Fragments:
    run = await _run(view)
    return {"eval": view.html("eval_state.html", run=run, **_shown(run))}


@PAGE.get("/{id}/case")
async def show_case(view: View) -> Response:
    """Show the answers to one case with what each check found. The case and the model are in the query: both are
    texts of persons, which may have any character."""
    run, id, model = await _run(view), view.query("case"), view.query("model")
    case = next((each for each in run.cases if each.id == id and each.model == (model or each.model)), None)
    if case is None:
        raise NotFound(view.t("evals.no_case", case=id[:80]))
    return view.render(
        "eval_case.html",
        run=run,
        case=case,
        others=[each for each in run.cases if each.id == case.id and each.model != case.model],
        case_path=case_path,
        code=code.reading(
            f"llmos eval show {run.id} --json",
            f"{_API}/{run.id}",
            f'run = client.evals.get("{run.id}")\nprint([each for each in run.cases if each.id == {case.id!r}])',
        ),
    )


@PAGE.post("/{id}/remove")
async def remove(view: View) -> Response:
    await view.form()
    id = view.request.path_params["id"]
    view.form_came_from = f"/evals/{id}"
    await view.api.delete(f"{_API}/{id}")
    return view.redirect("/evals", view.t("evals.removed", id=id))


def passed_of(run: EvalRunDescription) -> str | None:
    """Return how many cases the first model passes, with the interval of the share."""
    if not run.results:
        return None
    first = run.results[0]
    return f"{first.num_passed}/{first.num_cases} ({first.low:.0%} – {first.high:.0%})"


def versions_of(run: EvalRunDescription) -> str:
    """Return the versions that answered."""
    return ", ".join(dict.fromkeys(version for each in run.results for version in each.versions))


def verdict_of(run: EvalRunDescription) -> str:
    """Return the verdict, or the state of a run that has none yet."""
    return run.verdict or run.state


def case_path(run: str, case: EvalCaseDescription) -> str:
    return f"/evals/{run}/case?{urlencode({'case': case.id, 'model': case.model})}"


async def _run(view: View) -> EvalRunDetails:
    return await view.api.read(EvalRunDetails, f"{_API}/{view.request.path_params['id']}")


def _shown(run: EvalRunDetails) -> Mapping[str, Any]:
    """Return what the state of a run is drawn from."""
    return {"verdict": verdict_of(run), "interval": drawn_interval}


def _worst_first(cases: Sequence[EvalCaseDescription]) -> Sequence[EvalCaseDescription]:
    return sorted(cases, key=lambda case: _WORST_FIRST.index(case.state))


async def _same_suite(view: View, run: EvalRunDetails) -> Sequence[EvalRunDescription]:
    return await view.api.list(EvalRunDescription, _API, suite=run.suite, limit=_LIMIT)


async def _case_datasets(view: View) -> Sequence[str]:
    """Return the versions of datasets of the kind case, newest first."""
    if not view.may("datasets:read"):
        return []
    found = [each for each in await view.api.list(DatasetDescription, "/llmos/v1/datasets") if each.kind == "case"]
    return [each.version for each in sorted(found, key=lambda each: str(each.created_at), reverse=True)]


def _suite(view: View, text: str) -> Mapping[str, Any]:
    """Return the YAML of the form. Raises BadRequest for what is no object."""
    found = read_yaml(text, view.t("evals.suite"))
    if not isinstance(found, dict):
        raise BadRequest(view.t("evals.no_suite"))
    return found
