"""The pages of knowledge without scripts: documents, searches and what wasn't found, evaluation, removal."""

import re
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from llmos.core.schemas.knowledge_eval import FigureDescription, KnowledgeEvalDescription, ThresholdDescription
from llmos.data.datasets.rows import make_row
from llmos.data.knowledge.adding import sync_documents
from llmos.data.knowledge.evaluations import keep_report
from llmos.data.knowledge.sources import SourceDocument
from llmos.gateway.services import Services
from support.chromium import HOSTILE
from support.console import PASSWORD, browser_of, sign_in
from support.knowledge_fixtures import FakeEmbedder

pytestmark = [pytest.mark.anyio, pytest.mark.process]

FILES = {
    "shop/guarantee & <b>more</b>.md": f"# Guarantee\n\nTwo years. Batteries are excluded. {HOSTILE}\n",
    "shop/returns.md": "# Returns\n\nWithin 30 days.\n",
    "保修.md": "# 保修\n\n保修期为两年。\n",
}


@pytest.fixture(scope="module", autouse=True)
def given(services: Services, tmp_path_factory: pytest.TempPathFactory) -> None:
    """faq@1 with FILES, evaluated, with a threshold that no search reaches."""
    folder: Path = tmp_path_factory.mktemp("files")
    sources = []
    for number, (name, content) in enumerate(FILES.items()):
        path = folder / f"{number}.md"
        path.write_text(content)
        sources.append(SourceDocument(name=name, path=path, metadata={"note": HOSTILE[:60]}))
    knowledge = services.data.knowledge.of()
    version = sync_documents(knowledge, "faq", sources, lambda ref: FakeEmbedder())
    baselines = {"vector_part": 0.5}
    figure = FigureDescription(name="recall@3", value=0.9, low=0.812, high=0.954, baselines=baselines)
    weights = ThresholdDescription(measure="x", intercept=-9.0, cosine=0.0, words=0.1, threshold=0.9)
    report = KnowledgeEvalDescription(
        knowledge=version.ref, cases="cases@1", num_answerable=20, num_unanswerable=5, figures=[figure],
        mode="text", threshold=weights,
    )  # fmt: skip
    keep_report(knowledge, version, report)
    with services.data.datasets.of().writing("cases", "case", source="test") as writer:
        writer.add(make_row("case", {"input": "How long?"}))
        writer.finish()
    services.projects.create("acme")
    services.users.create("amy", role="developer", project="acme", password=PASSWORD)


async def post(browser: httpx.AsyncClient, path: str, **fields: str) -> httpx.Response:
    found = re.search(r'name="csrf_token" value="([^"]+)"', (await browser.get("/console/knowledge")).text)
    assert found is not None
    return await browser.post(f"/console{path}", data={"csrf_token": found[1], **fields})


async def test_a_version_shows_its_documents_settings_and_evaluation(ann: httpx.AsyncClient) -> None:
    assert 'href="/console/knowledge/faq@1"' in (await ann.get("/console/knowledge")).text
    html = (await ann.get("/console/knowledge/faq@1")).text
    assert "guarantee &amp; &lt;b&gt;more&lt;/b&gt;.md" in html
    assert "<script>alert" not in html
    assert "0.812 – 0.954" in html
    assert "meaning alone: 0.500" in html
    assert "words@1" in html
    csv = await ann.get("/console/knowledge/faq@1?csv=documents")
    assert [line.partition(",")[0] for line in csv.text.splitlines()] == ["name", *sorted(FILES)]


async def test_documents_come_in_pages(ann: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmos.console.pages.knowledge._PAGE_SIZE", 2)
    html = (await ann.get("/console/knowledge/faq@1")).text
    address = re.search(r'<a href="([^"]+)" rel="next">', html)
    assert address is not None
    assert "保修.md" not in html
    assert "保修.md" in (await ann.get(address[1].replace("&amp;", "&"))).text


async def test_a_search_shows_scores_and_leads_to_the_passage(ann: httpx.AsyncClient) -> None:
    html = (await ann.get("/console/knowledge/faq@1/search?q=batteries&mode=text")).text
    assert "1 passages" in html
    assert "words (BM25)" in html
    assert "<script>alert" not in html
    address = re.search(r'href="(/console/knowledge/faq@1/document\?[^"]+)"', html)
    assert address is not None
    document = (await ann.get(address[1].replace("&amp;", "&"))).text
    marked = re.search(r'<mark id="passage">(.*?)</mark>', document, re.DOTALL)
    assert marked is not None
    assert "Batteries are excluded." in marked[1]
    assert "<script>alert" not in document


async def test_what_was_not_found_is_said(ann: httpx.AsyncClient) -> None:
    html = (await ann.get("/console/knowledge/faq@1/search?q=giraffes&mode=text")).text
    assert "Nothing was found" in html
    assert "Not in here: these documents don&#39;t seem to answer it." in html
    assert "below the threshold 0.900" in html


async def test_a_document_that_is_not_there_is_said(ann: httpx.AsyncClient) -> None:
    reply = await ann.get("/console/knowledge/faq@1/document?name=shop/return.md")
    assert (reply.status_code, "shop/returns.md" in reply.text) == (404, True)
    assert (await ann.get("/console/knowledge/faq@1/document")).status_code == 400
    assert (await ann.get("/console/knowledge/faq@1/document?name=shop/returns.md&start=9&end=x")).status_code == 200


async def test_an_evaluation_is_a_job(ann: httpx.AsyncClient, services: Services) -> None:
    reply = await post(ann, "/knowledge/faq@1/evaluate", cases="cases@1")
    assert "The evaluation of faq@1 has started." in reply.text
    (job,) = services.jobs.list(kind="knowledge_eval")
    assert (job.request["knowledge"], job.request["cases"]) == ("faq@1", "cases@1")
    assert "Choose a dataset of cases." in (await post(ann, "/knowledge/faq@1/evaluate")).text


async def test_a_document_is_removed_by_a_new_version_and_a_version_for_good(ann: httpx.AsyncClient) -> None:
    reply = await post(ann, "/knowledge/faq@1/remove-document", document="shop/returns.md")
    assert reply.url.path == "/console/knowledge/faq@2"
    assert "faq@2 is without shop/returns.md." in reply.text
    assert 'value="shop/returns.md"' not in reply.text
    assert "remove-document" not in (await ann.get("/console/knowledge/faq@1")).text
    assert "faq@2 is removed" in (await post(ann, "/knowledge/faq@2/remove")).text
    assert (await ann.get("/console/knowledge/faq@2")).status_code == 404


async def test_other_projects_see_nothing_of_it(app: FastAPI) -> None:
    async with browser_of(app) as browser:
        await sign_in(browser, "amy")
        assert "There is no knowledge yet." in (await browser.get("/console/knowledge")).text
        for path in ("faq@1", "faq@1/search?q=batteries", "faq@1/document?name=shop/returns.md"):
            assert (await browser.get(f"/console/knowledge/{path}")).status_code == 404
