"""The page Answers without scripts: filters, pages, CSV, wrong filters, foreign texts, and other projects."""

import csv
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from llmos.client import AsyncClient
from llmos.console.conversations import turns_of, turns_of_messages
from llmos.console.timeline import WIDTH, timeline_of, timeline_of_steps
from llmos.core.ids import new_id
from llmos.core.schemas.answers import AnswerTimings
from llmos.core.schemas.runs import RunDescription, StepDescription
from llmos.gateway.services import Services
from support.answers import facts
from support.apps import LEASE
from support.chromium import HOSTILE
from support.console import PASSWORD, browser_of, sign_in

pytestmark = pytest.mark.anyio


def add(services: Services, *many: Mapping[str, Any]) -> None:
    with services.data.answers._database.plain_counting() as transaction:
        services.data.answers.add(transaction, many)


@pytest.fixture(scope="module", autouse=True)
def given(services: Services) -> None:
    """Answers for the project acme, and one for shop."""
    add(services, *(facts(f"answer-{n}", seconds=n) for n in range(60)))
    add(services, facts("slow", seconds=100, total_micros=9_000_000, output_tokens=700, user=HOSTILE, app="support"))
    add(services, facts("broken", seconds=101, outcome="failed", error="replica_failed", verdict="block"))
    add(services, facts("others", seconds=102, project="shop"))
    for project in ("acme", "shop"):
        services.projects.create(project)
    services.users.create("amy", role="viewer", project="acme", password=PASSWORD)


def ids(html: str) -> list[str]:
    return re.findall(r'href="/console/answers/([\w-]+)"', html)


async def test_answers_come_newest_first_in_pages_that_link_to_each_other(ann: httpx.AsyncClient) -> None:
    first = (await ann.get("/console/answers")).text
    assert ids(first)[:3] == ["others", "broken", "slow"]
    assert len(ids(first)) == 50
    address = re.search(r'<a href="([^"]+)" rel="next">', first)
    assert address is not None
    second = (await ann.get(address[1].replace("&amp;", "&"))).text
    assert ids(second) == [f"answer-{n}" for n in range(12, -1, -1)]
    assert 'rel="next"' not in second
    assert 'href="/console/answers" rel="first"' in second


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("app=support", ["slow"]),
        ("outcome=failed", ["broken"]),
        ("verdict=block", ["broken"]),
        ("model=smollm2&min_seconds=5", ["slow"]),
        ("min_output_tokens=700", ["slow"]),
        ("project=shop", ["others"]),
        ("since=2026-09-21T00:01:41Z", ["others", "broken"]),
    ],
)
async def test_a_filter_leaves_what_it_names(ann: httpx.AsyncClient, query: str, found: list[str]) -> None:
    html = (await ann.get(f"/console/answers?{query}")).text
    assert ids(html) == found
    assert f"/llmos/v1/answers?{query.partition('=')[0]}=" in html.replace("&amp;", "&")


async def test_the_command_of_the_page_has_its_filters(ann: httpx.AsyncClient) -> None:
    html = (await ann.get("/console/answers?outcome=failed&user=a%20b&min_seconds=2")).text
    assert "llmos answer list --outcome failed --user &#39;a b&#39; --min-seconds 2" in html
    assert "client.answers.list(outcome=&#39;failed&#39;, user=&#39;a b&#39;, min_seconds=2)" in html


@pytest.mark.parametrize(("query", "hint"), [("since=soon", "Write a date"), ("min_cost=x", "min_cost")])
async def test_a_wrong_filter_is_said_and_stays_in_its_field(ann: httpx.AsyncClient, query: str, hint: str) -> None:
    html = (await ann.get(f"/console/answers?{query}")).text
    assert hint in html
    assert f'value="{query.partition("=")[2]}"' in html


async def test_csv_has_all_that_the_filters_leave(ann: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmos.console.pages.answers._CSV_PAGE_SIZE", 7)
    reply = await ann.get("/console/answers?project=acme&csv=answers")
    assert reply.headers["content-type"] == "text/csv; charset=utf-8"
    rows = [*csv.DictReader(reply.text.splitlines())]
    assert [row["id"] for row in rows] == ["broken", "slow", *(f"answer-{n}" for n in range(59, -1, -1))]
    assert (rows[1]["user"], rows[1]["seconds"]) == (HOSTILE, "9.0")
    wrong = await ann.get("/console/answers?since=soon&csv=answers")
    assert wrong.status_code == 400


async def test_one_answer_has_its_stages_and_foreign_texts_are_only_texts(ann: httpx.AsyncClient) -> None:
    html = (await ann.get("/console/answers/slow")).text
    assert html.count('<rect class="stage ') == 4
    assert "9.000 s" in html
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(2)" in html
    assert "Its text isn&#39;t stored." in html
    reply = await ann.get("/console/answers/never")
    assert reply.status_code == 404
    assert 'href="/console/answers"' in reply.text


async def test_a_project_sees_its_own_answers_alone(app: FastAPI) -> None:
    async with browser_of(app) as browser:
        await sign_in(browser, "amy")
        assert "others" not in ids((await browser.get("/console/answers")).text)
        assert (await browser.get("/console/answers/others")).status_code == 404
        assert (await browser.get("/console/answers/slow")).status_code == 200


def test_stages_follow_each_other_and_short_ones_can_be_seen() -> None:
    timings = AnswerTimings(queue=1.0, prefill=0.000001, decode=2.5, total=4.0)
    bars = timeline_of(timings)
    assert [bar.name for bar in bars] == ["queue", "prefill", "decode", "rest"]
    assert [bar.start_seconds for bar in bars] == [0, 1, 1.000001, 3.500001]
    assert (bars[0].x, bars[0].width, bars[1].width) == (0, 250, 2)
    assert all(bar.x >= 0 and bar.x + bar.width <= WIDTH for bar in bars)
    assert timeline_of(AnswerTimings()) == []


def test_items_and_messages_become_turns() -> None:
    items: list[Any] = [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Where is it?"}]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Look it up."}]},
        {"type": "function_call", "name": "find", "arguments": '{"id": 4}'},
        {"type": "function_call_output", "output": "in Paris"},
        {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        {"type": "picture", "url": "x"},
        "no item",
    ]
    kinds = [(turn.kind, turn.text, turn.name) for turn in turns_of(items)]
    assert kinds[:5] == [
        ("user", "Where is it?", ""),
        ("reasoning", "Look it up.", ""),
        ("call", '{"id": 4}', "find"),
        ("result", "in Paris", ""),
        ("assistant", "No.", ""),
    ]
    assert kinds[5][0] == "picture"
    messages: list[Any] = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "content": "done"},
        None,
    ]
    assert [turn.kind for turn in turns_of_messages(messages)] == ["user", "call", "result"]


async def test_an_answer_says_how_it_came_to_be(ann: httpx.AsyncClient) -> None:
    html = (await ann.get("/console/answers/slow")).text
    why = html.partition('id="why"')[2].partition("</section>")[0]
    assert 'href="/console/deployments/routes/dialogue"' in why
    assert 'href="/console/apps/support"' in why
    assert "smollm2@1" in why  # Which isn't stored here any more, so that its name is all.


async def test_an_answer_of_a_run_shows_its_steps_as_bars(
    ann: httpx.AsyncClient, owner: AsyncClient, services: Services
) -> None:
    run = await owner.runs.begin(id=new_id("run"), app="support", lease=LEASE, input="Hi")
    steps = [
        {"key": f"s{n}", "kind": "step", "name": f"look-{n}", "state": "done", "result": n, "seconds": 0.5}
        for n in range(3)
    ]
    await owner.runs.write(run.id, lease=LEASE, steps=steps)
    add(services, facts("of-a-run", seconds=200, project="owner", app="support", run=run.id, version="app:support@1"))
    html = (await ann.get("/console/answers/of-a-run")).text
    assert re.findall(rf'href="/console/runs/{run.id}/steps/(\d)"', html) == ["0", "1", "2"]
    assert ids((await ann.get(f"/console/answers?run={run.id}")).text) == ["of-a-run"]


def test_steps_that_ran_at_once_are_drawn_above_each_other() -> None:
    began = datetime(2026, 9, 21, tzinfo=UTC)
    ends = (4, 4, 8)
    steps = [
        StepDescription(number=n, name=f"s{n}", seconds=4.0, at=began + timedelta(seconds=end))
        for n, end in enumerate(ends)
    ]
    bars = timeline_of_steps(RunDescription(created_at=began, steps=steps))
    assert [(bar.x, bar.width) for bar in bars] == [(0.0, WIDTH / 2), (0.0, WIDTH / 2), (WIDTH / 2, WIDTH / 2)]
    assert timeline_of_steps(RunDescription(created_at=began)) == []


async def test_words_are_searched_in_kept_texts_and_a_page_without_any_goes_on(
    ann: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(services, facts("without-a-text", seconds=300, project="owner"))
    assert "No answer is like that." in (await ann.get("/console/answers?text=llama")).text
    monkeypatch.setattr("llmos.gateway.answer_search._AT_ONCE", 1)
    monkeypatch.setattr("llmos.gateway.answer_search.MAX_LOOKED_AT", 1)
    html = (await ann.get("/console/answers?text=llama")).text
    assert "The next page continues the search." in html
    assert 'rel="next"' in html
