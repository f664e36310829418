"""Compare: one prompt, or the rows of a dataset, asked of two to four targets at once, and votes for the best answer.

The address has all of it, so that it can be shared and loaded again. Votes are feedback; see docs/feedback.md.
"""

import json
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from llmos.console import code
from llmos.console.api import quote_path
from llmos.console.page import Page
from llmos.console.pages.chat import WORDS as CHAT_WORDS
from llmos.console.tables import Column, Table
from llmos.console.view import View
from llmos.core.schemas.datasets import DatasetDescription, RowDescription
from llmos.core.schemas.feedback import FeedbackDescription, FeedbackPage

PAGE = Page(name="compare", permission="inference")

MAX_TARGETS = 4
_MAX_VOTES = 1000
_WORDS = ("best", "tie", "voted", "answer_of", "ask", "next", "pick_two", "best_of")
_FIELDS = ("prompt", "system", "temperature", "max_tokens", "seed", "dataset", "row")


@PAGE.get()
async def show(view: View) -> Response:
    names = [each["id"] for each in (await view.api.get("/v1/models"))["data"]]
    datasets = []
    if view.may("datasets:read"):
        found = await view.api.list(DatasetDescription, "/llmos/v1/datasets")
        datasets = sorted({each.name for each in found})
    votes = FeedbackPage()
    if view.may("feedback:read"):
        votes = await view.api.read(FeedbackPage, "/llmos/v1/feedback", kind="vote", limit=_MAX_VOTES)
    standings = Table(view, "votes", _COLUMNS, _standings(votes.data), empty="compare.no_votes")
    if standings.is_wanted_as_csv:
        return standings.csv()
    given = {name: view.query(name) for name in _FIELDS}
    messages = await _messages_of_row(view, given["dataset"], _number(given["row"]))
    words = {name: view.t(f"chat.{name}") for name in CHAT_WORDS}
    return view.render(
        "compare.html",
        names=names,
        chosen=view.request.query_params.getlist("model")[:MAX_TARGETS],
        num_targets=MAX_TARGETS,
        given=given,
        is_blind=view.query("blind") == "on",
        datasets=datasets,
        messages=messages,
        messages_json=json.dumps(messages, ensure_ascii=False),
        next_path=_next_path(view, _number(given["row"])) if messages else "",
        standings=standings,
        words=json.dumps(words | {name: view.t(f"compare.{name}") for name in _WORDS}, ensure_ascii=False),
        code=_code(view),
    )


@PAGE.post("/export")
async def export(view: View) -> Response:
    form = await view.form()
    made = await view.api.post("/llmos/v1/feedback/export", {"dataset": form.get("dataset", ""), "kind": "preference"})
    return view.redirect(
        "/compare", view.t("compare.was_exported", version=made["version"], rows=view.t.number(made["num_rows"]))
    )


async def _messages_of_row(view: View, dataset: str, row: int) -> Sequence[Mapping[str, Any]]:
    """Return the prompt of a row: its messages up to the answer. Empty behind the last row, and without a dataset."""
    if not dataset:
        return []
    path = f"/llmos/v1/datasets/{quote_path(dataset)}/rows"
    rows = await view.api.list(RowDescription, path, limit=1, skip=str(row))
    return prompt_of(rows[0].content) if rows else []


def prompt_of(content: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the messages that a model is asked with, out of a row of any kind."""
    asked = content.get("messages", content.get("input", content.get("text", "")))
    if isinstance(asked, str):
        return [{"role": "user", "content": asked}]
    messages = list(asked)
    while messages and messages[-1].get("role") == "assistant" and "chosen" not in content:
        messages.pop()
    return messages


def _next_path(view: View, row: int) -> str:
    """Return the address of the next row, with everything else as it is."""
    kept = [(name, value) for name, value in view.request.query_params.multi_items() if name != "row"]
    return f"/console/compare?{urlencode([*kept, ('row', str(row + 1))])}"


def _number(text: str) -> int:
    return min(int(text), 2**31 - 1) if text.isascii() and text.isdecimal() and len(text) < 12 else 0


def _standings(votes: Sequence[FeedbackDescription]) -> Sequence[dict[str, Any]]:
    """Return what won, lost and was as good as others how often."""
    counts: dict[str, Counter[str]] = {}
    for vote in votes:
        content = vote.content
        for other in content.rejected:
            for name, result in ((content.version, "won"), (other.version, "lost")):
                counts.setdefault(name, Counter())["tied" if content.is_tie else result] += 1
    return [
        {"version": name or "?", **{each: count[each] for each in ("won", "lost", "tied")}}
        for name, count in counts.items()
    ]


def _column(name: str, kind: str = "number") -> Column[dict[str, Any]]:
    return Column(name=name, title=f"compare.{name}", value=lambda row: row[name], kind=kind)


_COLUMNS: Sequence[Column[dict[str, Any]]] = (
    _column("version", "text"),
    _column("won"),
    _column("lost"),
    _column("tied"),
)


def _code(view: View) -> code.Code:
    """Return how each target is asked, and how votes become a dataset."""
    prompt = view.query("prompt") or "Hello!"
    names = view.request.query_params.getlist("model")[:MAX_TARGETS] or ["dialogue"]
    commands = [f"llmos run {shlex.quote(name)} {shlex.quote(prompt)}" for name in dict.fromkeys(names) if name]
    return code.changing(
        "POST",
        "\n".join([*commands, "llmos feedback export votes"]),
        "/llmos/v1/feedback",
        {
            "answer": "ID",
            "kind": "vote",
            "messages": [{"role": "user", "content": prompt}],
            "text": "The best answer.",
            "rejected": [{"answer": "ID", "version": "smollm2@1", "text": "Another answer."}],
        },
        'for vote in client.feedback.list(kind="vote").data:\n    print(vote.content.version, vote.content.text)',
    )
