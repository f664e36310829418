"""The first page: is the server well, is a model here, what happens now, and a first answer."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from starlette.responses import Response

from llmos.console import code
from llmos.console.metrics import TOKENS, read_sums, tokens_per_second
from llmos.console.page import Fragments, Page
from llmos.console.view import View
from llmos.core.errors import BadRequest
from llmos.core.schemas.jobs import JobDescription
from llmos.core.schemas.models import CatalogEntryDescription, ModelDescription
from llmos.core.schemas.usage import UsageDescription, UsageReport

PAGE = Page(name="start", path="")

_ROUTE = "dialogue"
_MAX_TOKENS = 256
_MAX_OFFERED = 3
_USAGE_SECONDS = 15.0
_METRICS = (TOKENS, "llmos_calls_running", "llmos_queued_choices", "llmos_request_errors_total")
"""Usage is asked for this often: the ledger is written for it each time."""


@dataclass(frozen=True, slots=True)
class Figure:
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Health:
    status: str
    attention: Sequence[Mapping[str, Any]]
    """The models that can't answer now, and why."""


@dataclass(frozen=True, slots=True)
class FirstAnswer:
    text: str
    tokens: int
    seconds: float
    version: str


@PAGE.get()
async def show_start(view: View) -> Response:
    return await _render(view)


@PAGE.live()
async def watch_start(view: View) -> Fragments:
    context = await _context(view)
    return {
        "health": view.html("start_health.html", **context),
        "first-model": view.html("start_first_model.html", **context),
    }


@PAGE.post("/ask")
async def ask(view: View) -> Response:
    form = await view.form()
    view.shown_path = "/"
    prompt = form.get("prompt", "").strip()
    if not prompt:
        raise BadRequest(view.t("start.no_prompt"))
    body = {"model": _ROUTE, "messages": [{"role": "user", "content": prompt}], "max_tokens": _MAX_TOKENS}
    began = time.perf_counter()
    answer = await view.api.post("/v1/chat/completions", body)
    return await _render(
        view,
        prompt=prompt,
        answer=FirstAnswer(
            answer["choices"][0]["message"]["content"] or "",
            answer["usage"]["completion_tokens"],
            time.perf_counter() - began,
            answer["model"],
        ),
    )


async def _render(view: View, *, prompt: str = "", answer: FirstAnswer | None = None) -> Response:
    context = await _context(view)
    body = {"model": _ROUTE, "messages": [{"role": "user", "content": prompt or "Hello!"}]}
    shown = code.changing(
        "POST",
        f"llmos chat {_ROUTE}",
        "/v1/chat/completions",
        body,
        f'print(client.models.get("{_ROUTE}").chat({body["messages"]!r}).text)',
    )
    can_ask = context["has_models"] and view.may("inference")
    return view.render("start.html", **context, can_ask=can_ask, model=_ROUTE, prompt=prompt, answer=answer, code=shown)


async def _context(view: View) -> dict[str, Any]:
    models = await view.api.list(ModelDescription, "/llmos/v1/models")
    pullable: Sequence[CatalogEntryDescription] = ()
    if not models:
        catalog = await view.api.list(CatalogEntryDescription, "/llmos/v1/catalog")
        pullable = [entry for entry in catalog if entry.template == "own" and not entry.here][:_MAX_OFFERED]
    return {
        "health": await _health(view),
        "figures": [*await _figures(view, len(models)), *await _today(view)],
        "has_models": bool(models),
        "pullable": pullable,
        "jobs": await view.api.list(JobDescription, "/llmos/v1/jobs", kind="pull", state="running"),
    }


async def _health(view: View) -> Health:
    report = (await view.api.send("GET", "/health/ready")).json()
    return Health(report["status"], [each for each in report["models"] if each.get("reason")])


async def _figures(view: View, num_models: int) -> list[Figure]:
    """Return what happens now. Only the installation's own project sees what all callers do together."""
    figures = [Figure("start.models", view.t.number(num_models))]
    if not view.may("metrics:read"):
        return figures
    sums = await read_sums(view, _METRICS)
    return [
        *figures,
        Figure("start.tokens_per_second", view.t.number(tokens_per_second(view, sums[TOKENS]), 1)),
        Figure("start.running", view.t.number(sums["llmos_calls_running"])),
        Figure("start.waiting", view.t.number(sums["llmos_queued_choices"])),
        Figure("start.errors", view.t.number(sums["llmos_request_errors_total"])),
    ]


async def _today(view: View) -> list[Figure]:
    """Return what was used today: by everybody for the installation's project, else by the visitor's."""
    if not view.may("usage:read"):
        return []
    asked_at, figures = view.memory.get("today", (float("-inf"), []))
    if time.monotonic() - asked_at < _USAGE_SECONDS:
        return list(figures)
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    report = await view.api.read(UsageReport, "/llmos/v1/usage", by="model", from_=today)
    figures = [
        Figure("start.calls_today", view.t.number(sum(each.num_calls for each in report.data))),
        Figure("start.tokens_today", view.t.number(sum(_tokens(each) for each in report.data))),
    ]
    if costs := _sum_costs(report.data):
        figures.append(Figure("start.spent_today", view.t.costs(costs)))
    view.memory["today"] = (time.monotonic(), figures)
    return figures


def _tokens(usage: UsageDescription) -> int:
    return usage.input_tokens + usage.cached_input_tokens + usage.output_tokens


def _sum_costs(rows: Sequence[UsageDescription]) -> dict[str, str]:
    sums: dict[str, Decimal] = {}
    for row in rows:
        for currency, amount in row.costs.items():
            sums[currency] = sums.get(currency, Decimal(0)) + Decimal(amount)
    return {currency: f"{amount:,.4f}" for currency, amount in sums.items()}
