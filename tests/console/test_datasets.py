"""The pages of datasets without scripts: rows, queries, differences with reasons, aliases, removal, other projects."""

import json
import re
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from llmos.data.datasets.rows import make_row
from llmos.data.operators.cleaning import clean
from llmos.data.operators.recipe import make_recipe
from llmos.gateway.operator_context import operator_context
from llmos.gateway.services import Services
from support.chromium import HOSTILE
from support.console import PASSWORD, browser_of, sign_in

pytestmark = pytest.mark.anyio

LONG = "word " * 20_000


@pytest.fixture(scope="module", autouse=True)
def given(services: Services) -> None:
    """A dataset of 120 conversations, cleaned to one of 118; and one of cases with foreign texts."""
    datasets = services.data.datasets.of()
    with datasets.writing("talks", "chat", source="import:talks.jsonl") as writer:
        for n in range(120):
            text = HOSTILE if n == 0 else LONG if n == 1 else "the same" if n in (60, 61, 62) else f"question {n}"
            messages = [{"role": "user", "content": text}, {"role": "assistant", "content": f"answer {n}"}]
            writer.add(make_row("chat", {"messages": messages}, origin=f"{HOSTILE[:40]}:{n}"))
        talks = writer.finish()
    recipe = make_recipe([{"name": "exact_duplicates", "by": "question"}])
    clean(datasets, talks, recipe, operator_context(services.registry, datasets))
    services.projects.create("acme")
    services.users.create("amy", role="developer", project="acme", password=PASSWORD)
    services.users.create("vera", role="viewer", password=PASSWORD)


async def csrf(browser: httpx.AsyncClient) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', (await browser.get("/console/datasets")).text)
    assert found is not None
    return found[1]


async def post(browser: httpx.AsyncClient, path: str, **fields: str) -> httpx.Response:
    return await browser.post(f"/console{path}", data={"csrf_token": await csrf(browser), **fields})


async def test_the_list_has_every_version_and_one_shows_its_rows_and_lineage(ann: httpx.AsyncClient) -> None:
    assert 'href="/console/datasets/talks@2"' in (await ann.get("/console/datasets")).text
    html = (await ann.get("/console/datasets/talks@2")).text
    assert '<a href="/console/datasets/talks@1">talks@1</a>' in html
    assert html.count('<article class="row-of-data"') == 50
    assert 'data-rows="118"' in html
    assert 'href="/llmos/v1/datasets/talks@2/report.html"' in html
    assert "exact_duplicates" in html


async def test_rows_are_escaped_and_long_ones_are_folded(ann: httpx.AsyncClient) -> None:
    html = (await ann.get("/console/datasets/talks@1")).text
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(2)" in html
    assert "Show all 100,000 characters" in html
    assert html.count('<details class="fold">') == 1


async def test_rows_come_in_parts_and_any_row_has_an_address(ann: httpx.AsyncClient) -> None:
    part = (await ann.get("/console/datasets/talks@1/rows?from=10&skip=100")).text
    assert part.count("<article") == 10
    assert "<html" not in part
    assert "question 110" in part
    html = (await ann.get("/console/datasets/talks@1?row=119")).text
    assert html.count('<article class="row-of-data"') == 2
    assert 'href="?skip=68" rel="prev"' in html
    assert (await ann.get("/console/datasets/talks@1?row=99999999")).status_code == 200


@pytest.mark.process
async def test_a_query_shows_its_table_or_what_is_wrong(ann: httpx.AsyncClient) -> None:
    sql = "select count(*) as n, '<b>' as mark from rows"
    html = (await ann.get("/console/datasets/talks@1/query", params={"sql": sql})).text
    assert "<td>120</td>" in html
    assert "<bdi>&lt;b&gt;</bdi>" in html
    wrong = (await ann.get("/console/datasets/talks@1/query", params={"sql": "drop table rows"})).text
    assert 'role="alert"' in wrong
    assert ">drop table rows</textarea>" in wrong


async def test_a_difference_has_the_reasons(ann: httpx.AsyncClient) -> None:
    html = (await ann.get("/console/datasets/talks@1/diff?to=talks@2")).text
    assert "2 went" in html
    assert "<bdi>exact_duplicates</bdi>" in html
    missing = await ann.get("/console/datasets/talks@1/diff?to=talks@9")
    assert missing.status_code == 404


async def test_a_recipe_is_checked_by_a_job_and_a_wrong_one_is_named(
    ann: httpx.AsyncClient, services: Services
) -> None:
    assert "near_duplicates" in (await ann.get("/console/datasets/talks@1/clean")).text
    reply = await post(ann, "/datasets/talks@1/clean", recipe='[{"name": "normalize"}]', do="check")
    assert re.fullmatch(r"/console/datasets/jobs/[\w-]+", reply.url.path), reply.text
    (job,) = services.jobs.list(kind="dataset_check")
    assert job.request["operators"] == [{"name": "normalize"}]
    for recipe, problem in (("normalize", "isn&#39;t a list of operators"), ('[{"name": "normalise"}]', "normalize")):
        reply = await post(ann, "/datasets/talks@1/clean", recipe=recipe, do="clean")
        assert reply.url.path == "/console/datasets/talks@1/clean"
        assert problem in reply.text


async def test_what_a_check_found_is_shown_and_leads_on(ann: httpx.AsyncClient, services: Services) -> None:
    from llmos.console.languages import Texts
    from llmos.console.pages.dataset_work import _outcome
    from llmos.console.view import TEMPLATES
    from llmos.core.schemas.jobs import JobDescription

    left_out = {"operator": "quality", "reason": "too_short", "num_rows": 3}
    left_out["examples"] = [{"id": "1", "text": HOSTILE, "detail": "2 words"}]  # type: ignore[assignment]
    found = {"version": "talks@1", "num_rows": 9, "num_kept": 6, "num_changed": 1, "left_out": [left_out]}
    request: dict[str, Any] = {"dataset": "talks@1", "operators": [{"name": "quality"}]}
    job = JobDescription(id="job-1", kind="dataset_check", state="succeeded", request=request, result=found)
    html = TEMPLATES.get_template("dataset_outcome.html").render(t=Texts("en"), **_outcome(job))
    assert "quality: too short" in html
    assert "&lt;script&gt;alert(2)" in html
    assert "/console/datasets/talks@1/clean?recipe=" in html


async def test_aliases_descriptions_and_tags_are_set_and_a_pointed_at_version_stays(ann: httpx.AsyncClient) -> None:
    assert "talks:gold points at talks@2 now." in (await post(ann, "/datasets/talks@2/alias", alias="gold")).text
    fields = {"description": "Best", "tags": "team=search\r\nreviewed\r\n"}
    page = (await post(ann, "/datasets/talks@2/describe", **fields)).text
    assert "The description and the tags of talks@2 are saved." in page
    assert '<span class="tag"><bdi>team=search</bdi></span>' in page
    page = (await post(ann, "/datasets/talks@2/describe", description="Best", tags="reviewed")).text
    assert "team=search" not in page
    assert '<span class="tag"><bdi>reviewed</bdi></span>' in page
    refused = await post(ann, "/datasets/talks@2/remove")
    assert refused.url.path == "/console/datasets/talks@2"
    assert 'role="alert"' in refused.text
    assert "is removed" in (await post(ann, "/datasets/talks@2/alias/remove", alias="gold")).text
    removed = await post(ann, "/datasets/talks@2/remove")
    assert "talks@2 is removed" in removed.text
    gone = await ann.get("/console/datasets/talks@2")
    assert (gone.status_code, 'href="/console/datasets"' in gone.text) == (404, True)


async def test_other_projects_and_roles_see_what_they_may(app: FastAPI) -> None:
    async with browser_of(app) as browser:
        await sign_in(browser, "amy")
        assert "There is no dataset yet." in (await browser.get("/console/datasets")).text
        assert (await browser.get("/console/datasets/talks@1")).status_code == 404
    async with browser_of(app) as browser:
        await sign_in(browser, "vera")
        reply = await browser.get("/console/datasets/talks@1")
        assert reply.status_code == 403 or "/remove" not in reply.text


async def test_an_answer_becomes_a_row(ann: httpx.AsyncClient, services: Services) -> None:
    reply = await post(ann, "/answers/never/dataset", dataset="kept")
    assert "There is no answer" in reply.text
    reply = await post(ann, "/answers/never/dataset", dataset=" ")
    assert "The field is empty." in reply.text
    assert json.dumps([each.dataset for each in services.data.datasets.of().list()]) == '["talks"]'
