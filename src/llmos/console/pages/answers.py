"""Answers: the calls that were answered, by many filters; and one of them with its timeline, receipt and text."""

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from llmos.console import CONSOLE_PATH, code
from llmos.console.api import quote_path, with_query
from llmos.console.conversations import turns_of
from llmos.console.listing import Listing, Part, csv_response, is_wanted_as_csv
from llmos.console.origins import origins_of
from llmos.console.page import Fragments, Page
from llmos.console.tables import Column
from llmos.console.timeline import WIDTH, timeline_of, timeline_of_steps
from llmos.console.view import View
from llmos.core.errors import BadRequest, LLMOSError
from llmos.core.schemas.answers import AnswerDetails, AnswerPage, AnswerSummary
from llmos.core.schemas.base import read_description
from llmos.core.schemas.datasets import DatasetDescription
from llmos.core.schemas.runs import RunDescription

PAGE = Page(name="answers", permission="answers:read")

_PATH = "/llmos/v1/answers"
_PAGE_SIZE, _CSV_PAGE_SIZE = 50, 1000
_MAX_STEPS = 50

FILTERS = (
    "model", "route", "app", "outcome", "verdict", "since", "until", "project", "key", "user", "min_cost",
    "min_output_tokens", "min_seconds", "run", "text",
)  # fmt: skip
"""The parameters of the address, which are those of the API."""

_MORE_FILTERS = [name for name in FILTERS[5:] if name != "text"]

OUTCOMES = ("answered", "blocked", "cached", "cancelled", "failed", "refused")
VERDICTS = ("flag", "redact", "block")

_COLUMNS: Sequence[Column[AnswerSummary]] = (
    Column(name="at", title="answers.at", value=lambda row: row.at, kind="time", link=lambda row: f"/answers/{row.id}"),
    Column(name="id", title="answers.id", value=lambda row: row.id),
    Column(name="outcome", title="answers.outcome", value=lambda row: row.outcome),
    Column(name="error", title="answers.error", value=lambda row: row.error),
    Column(name="verdict", title="answers.verdict", value=lambda row: row.verdict),
    Column(name="asked", title="answers.asked", value=lambda row: row.asked),
    Column(name="version", title="answers.version", value=lambda row: row.version),
    Column(name="route", title="answers.route", value=lambda row: row.route),
    Column(name="project", title="answers.project", value=lambda row: row.project),
    Column(name="key_id", title="answers.key", value=lambda row: row.key_id),
    Column(name="user", title="answers.user", value=lambda row: row.user),
    Column(name="app", title="answers.app", value=lambda row: row.app),
    Column(name="input_tokens", title="answers.input", value=lambda row: row.input_tokens, kind="number"),
    Column(name="cached_input_tokens", title="answers.cached", value=lambda row: row.cached_input_tokens),
    Column(name="output_tokens", title="answers.output", value=lambda row: row.output_tokens, kind="number"),
    Column(name="seconds", title="answers.seconds", value=lambda row: round(row.timings.total, 6)),
    Column(name="first_token_seconds", title="answers.first_token", value=lambda row: row.timings.first_token),
    Column(name="cost", title="answers.cost", value=lambda row: row.cost),
    Column(name="currency", title="answers.currency", value=lambda row: row.currency),
    Column(name="run", title="answers.run", value=lambda row: row.run),
    Column(name="excerpt", title="answers.excerpt", value=lambda row: row.excerpt),
)
"""The columns of the CSV. The page shows less, in a table of its own."""


_NOTHING: Part[AnswerSummary] = Part([], None)


@PAGE.get()
async def list_answers(view: View) -> Response:
    asked = _asked(view)

    async def read(after: str | None) -> Part[AnswerSummary]:
        return await _read(view, asked, after, _CSV_PAGE_SIZE)

    if is_wanted_as_csv(view, "answers"):
        return await csv_response("answers", _COLUMNS, read)
    problem = ""
    try:
        part = await _read(view, asked, view.query("after") or None, _PAGE_SIZE)
    except BadRequest as error:
        part, problem = _NOTHING, error.message
    return view.render(
        "answers.html",
        listing=Listing(view, "answers", _COLUMNS, part, empty=_empty(asked, part)),
        asked={name: asked.get(name, "") for name in FILTERS},
        has_more_filters=any(name in asked for name in _MORE_FILTERS),
        problem=problem,
        outcomes=OUTCOMES,
        verdicts=VERDICTS,
        newest=await _newest(view, asked) if view.query("after") else (part.rows[0].id if part.rows else ""),
        first_path=_first_path(asked),
        code=_list_code(asked),
    )


@PAGE.live()
async def watch_answers(view: View) -> Fragments:
    """Say which answer is the newest. The page offers to show it, and moves nothing by itself."""
    asked = _asked(view)
    return {
        "newest": view.html("answers_newest.html", newest=await _newest(view, asked), first_path=_first_path(asked))
    }


@PAGE.get("/{id}")
async def show_answer(view: View) -> Response:
    id = view.request.path_params["id"]
    answer = await view.api.read(AnswerDetails, f"{_PATH}/{id}")
    receipt, run = answer.receipt, await _run(view, answer)
    return view.render(
        "answer.html",
        answer=answer,
        bars=timeline_of(answer.timings),
        width=WIDTH,
        run=run,
        step_bars=[] if run is None else timeline_of_steps(run),
        origins=await origins_of(view, answer, run),
        turns=None if answer.text is None else turns_of([*answer.text.input, *answer.text.output]),
        receipt=receipt,
        raw=None if receipt is None else json.dumps(receipt.raw, indent=2, ensure_ascii=False),
        datasets=await _chat_datasets(view),
        add_code=_add_code(answer.id),
        findings=[] if receipt is None else receipt.guardrails.get("findings", []),
        policies=[] if receipt is None else receipt.guardrails.get("policies", []),
        code=code.reading(
            f"llmos answer show {answer.id}",
            f"{_PATH}/{quote_path(answer.id)}",
            f'answer = client.answers.get("{answer.id}")\nprint(answer.timings, answer.cost, answer.is_receipt_valid)',
        ),
    )


@PAGE.post("/{id}/dataset")
async def add_to_dataset(view: View) -> Response:
    form, id = await view.form(), view.request.path_params["id"]
    view.form_came_from = f"/answers/{id}"
    name = form.get("dataset", "").strip()
    if not name:
        raise BadRequest(view.t("answers.no_dataset"))
    body: dict[str, Any] = {"answers": [id]} | ({"consent": form["consent"]} if form.get("consent") else {})
    made = read_description(DatasetDescription, await view.api.post(f"/llmos/v1/datasets/{name}/answers", body))
    return view.redirect(f"/datasets/{made.version}?row={made.num_rows}", view.t("answers.added", ref=made.version))


async def _run(view: View, answer: AnswerDetails) -> RunDescription | None:
    """Return the run of an application that the answer belongs to, with its first steps."""
    if not answer.run or answer.project != view.session.project or not view.may("apps:read"):
        return None
    try:
        return await view.api.read(RunDescription, f"/llmos/v1/runs/{answer.run}", max_steps=_MAX_STEPS)
    except LLMOSError:  # It isn't kept any more.
        return None


def _empty(asked: Mapping[str, str], part: Part[AnswerSummary]) -> str:
    """Return the message for a page without answers."""
    if part.next is not None:
        return "answers.none_here"
    return "answers.none_like_that" if asked else "answers.none"


async def _chat_datasets(view: View) -> Sequence[str]:
    """Return the names of datasets of conversations, the one that changed last first."""
    if not (view.may("datasets:write") and view.may("datasets:read")):
        return []
    found = [each for each in await view.api.list(DatasetDescription, "/llmos/v1/datasets") if each.kind == "chat"]
    found.sort(key=lambda each: str(each.created_at), reverse=True)
    return [*dict.fromkeys(each.name for each in found)]


def _add_code(id: str) -> code.Code:
    return code.changing(
        "POST",
        f"llmos dataset add-answers answers {id}",
        "/llmos/v1/datasets/answers/answers",
        {"answers": [id]},
        f'print(client.datasets.add_answers("answers", ["{id}"]).version)',
    )


def _asked(view: View) -> Mapping[str, str]:
    """Return the filters that are set."""
    return {name: value for name in FILTERS if (value := view.query(name).strip())}


async def _read(view: View, asked: Mapping[str, str], after: str | None, limit: int) -> Part[AnswerSummary]:
    page = await view.api.read(AnswerPage, _PATH, **asked, after=after, limit=limit)
    return Part(page.data, page.next)


async def _newest(view: View, asked: Mapping[str, str]) -> str:
    """Return the id of the newest answer that the filters leave; empty where there is none, or they are wrong."""
    try:
        part = await _read(view, asked, None, 1)
    except BadRequest:
        return ""
    return part.rows[0].id if part.rows else ""


def _first_path(asked: Mapping[str, str]) -> str:
    return with_query(f"{CONSOLE_PATH}/answers", asked)


def _list_code(asked: Mapping[str, str]) -> code.Code:
    options = [part for name, value in asked.items() for part in (f"--{name.replace('_', '-')}", value)]
    arguments = ", ".join(f"{name}={_python(name, value)}" for name, value in asked.items())
    return code.reading(
        shlex.join(["llmos", "answer", "list", *options]),
        with_query(_PATH, asked),
        f"for answer in client.answers.list({arguments}).data:\n    print(answer.id, answer.version, answer.cost)",
    )


def _python(name: str, value: str) -> Any:
    if name in ("since", "until"):
        return f"datetime.fromisoformat({value!r})"
    return (
        value if name in ("min_output_tokens", "min_seconds") and value.replace(".", "", 1).isdigit() else repr(value)
    )
