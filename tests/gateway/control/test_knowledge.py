"""/llmos/v1/knowledge: versions, documents, passages, searches by words, aliases and labels, uploads."""

import hashlib
from pathlib import Path

import httpx
import pytest

from llmos.data.knowledge.adding import sync_documents
from llmos.data.knowledge.sources import SourceDocument
from llmos.gateway.services import Services
from llmos.security.keys import NewKey
from support.knowledge_fixtures import FakeEmbedder

pytestmark = [pytest.mark.anyio, pytest.mark.process]

FILES = {
    "shop/guarantee.md": "# Guarantee\n\nTwo years. Batteries are excluded.\n",
    "shop/returns.md": "# Returns\n\nWithin 30 days.\n",
    "保修.md": "# 保修\n\n保修期为两年。\n",
}


def digest_of(content: str) -> str:
    return f"sha256:{hashlib.sha256(content.encode()).hexdigest()}"


@pytest.fixture
def faq(services: Services, tmp_path: Path) -> str:
    """faq@1 of the project `owner`, with FILES."""
    sources = []
    for name, content in FILES.items():
        path = tmp_path / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        sources.append(SourceDocument(name=name, path=path, metadata={"year": 2026}))
    return sync_documents(services.data.knowledge.of(), "faq", sources, lambda ref: FakeEmbedder()).ref


async def search(http: httpx.AsyncClient, query: str, name: str = "faq", **fields: object) -> dict:
    body = {"query": query, "mode": "text", **fields}
    reply = await http.post(f"/llmos/v1/knowledge/{name}/search", json=body)
    assert reply.status_code == 200, reply.text
    return reply.json()


async def test_versions_are_listed_and_described(http: httpx.AsyncClient, faq: str) -> None:
    [listed] = (await http.get("/llmos/v1/knowledge")).json()["data"]
    assert (listed["version"], listed["num_documents"], listed["embedding"]) == ("faq@1", 3, "words@1")
    details = (await http.get("/llmos/v1/knowledge/faq")).json()
    assert (details["digest"], details["versions"], details["aliases"]) == (listed["digest"], ["faq@1"], [])
    missing = await http.get("/llmos/v1/knowledge/fag")
    assert (missing.status_code, "faq" in missing.text) == (404, True)


async def test_documents_are_listed_page_by_page(http: httpx.AsyncClient, faq: str) -> None:
    path = "/llmos/v1/knowledge/faq/documents"
    first = (await http.get(path, params={"limit": 2})).json()
    assert ([each["name"] for each in first["data"]], first["has_more"]) == (sorted(FILES)[:2], True)
    assert first["data"][0]["metadata"] == {"year": 2026}
    rest = (await http.get(path, params={"limit": 2, "after": first["data"][-1]["name"]})).json()
    assert ([each["name"] for each in rest["data"]], rest["has_more"]) == (sorted(FILES)[2:], False)
    unknown = await http.get(path, params={"after": "shop/return.md"})
    assert (unknown.status_code, "Did you mean shop/returns.md" in unknown.text) == (404, True)


async def test_a_citation_leads_to_its_passage(http: httpx.AsyncClient, faq: str) -> None:
    [hit] = (await search(http, "batteries"))["hits"]
    citation = hit["citation"]
    assert (citation["knowledge"], citation["document"]) == ("faq@1", "shop/guarantee.md")
    assert (citation["heading"], citation["quote"]) == (["Guarantee"], "Two years. Batteries are excluded.")
    path = f"/llmos/v1/knowledge/{citation['knowledge']}/documents/{citation['document']}"
    span = {"start": citation["start"], "end": citation["end"]}
    assert (await http.get(path, params=span)).json() == citation
    assert (await http.get(path)).json()["quote"] == FILES["shop/guarantee.md"].strip()
    beyond = await http.get(path, params={"start": 5, "end": 9999})
    assert (beyond.status_code, "has no span from 5 to 9,999" in beyond.text) == (400, True)


async def test_two_chinese_characters_are_found(http: httpx.AsyncClient, faq: str) -> None:
    assert [hit["citation"]["document"] for hit in (await search(http, "两年"))["hits"]] == ["保修.md"]


async def test_a_search_is_limited_to_documents_and_by_filters(http: httpx.AsyncClient, faq: str) -> None:
    assert (await search(http, "batteries", documents=["shop/returns.md"]))["hits"] == []
    assert (await search(http, "batteries", filters={"type": "lt", "key": "year", "value": 2026}))["hits"] == []
    wrong = await http.post("/llmos/v1/knowledge/faq/search", json={"query": "x", "mode": "text", "filters": {"a": 1}})
    assert wrong.status_code == 400


async def test_a_search_by_meaning_says_which_model_is_missing(http: httpx.AsyncClient, faq: str) -> None:
    reply = await http.post("/llmos/v1/knowledge/faq/search", json={"query": "batteries"})
    assert (reply.status_code, "words@1" in reply.text) == (404, True)


async def test_a_removed_document_is_not_found_again(http: httpx.AsyncClient, faq: str) -> None:
    made = await http.post("/llmos/v1/knowledge/faq/remove-documents", json={"documents": ["shop/guarantee.md"]})
    assert (made.json()["version"], made.json()["num_documents"]) == ("faq@2", 2)
    assert (await search(http, "batteries"))["hits"] == []
    assert len((await search(http, "batteries", name="faq@1"))["hits"]) == 1
    again = await http.post("/llmos/v1/knowledge/faq/remove-documents", json={"documents": ["shop/guarantee.md"]})
    assert (again.status_code, "has no document" in again.text) == (404, True)


async def test_aliases_and_labels_are_as_those_of_models(http: httpx.AsyncClient, faq: str) -> None:
    await http.put("/llmos/v1/knowledge/faq/aliases/prod", json={"version": "faq@1"})
    [move] = (await http.get("/llmos/v1/knowledge/faq/aliases/prod/history")).json()["data"]
    assert (move["name"], move["now"]) == ("faq:prod", "faq@1")
    refused = await http.delete("/llmos/v1/knowledge/faq@1")
    assert (refused.status_code, "faq:prod points at faq@1" in refused.text) == (409, True)
    await http.patch("/llmos/v1/knowledge/faq/labels", json={"description": "Questions"})
    assert (await http.get("/llmos/v1/knowledge/faq:prod")).json()["knowledge_description"] == "Questions"
    assert (await http.delete("/llmos/v1/knowledge/faq")).json()["versions"] == ["faq@1"]
    assert (await http.get("/llmos/v1/knowledge")).json() == {"data": []}


async def test_only_files_that_are_not_here_have_to_be_uploaded(http: httpx.AsyncClient, faq: str) -> None:
    known, new = digest_of(FILES["shop/returns.md"]), digest_of("new")
    files = [
        {"name": "other/name.md", "digest": known},
        {"name": "new.md", "digest": new},
        {"name": "again.md", "digest": new},
        {"name": "photo.png", "digest": new},
    ]
    reply = await http.post("/llmos/v1/knowledge-uploads/missing", json={"files": files})
    assert reply.json() == {"digests": [new], "other_files": ["photo.png"]}
    sent = await http.put(
        f"/llmos/v1/knowledge-uploads/{new}", content=b"new", headers={"content-range": "bytes 0-2/3"}
    )
    assert sent.json() == {"digest": new, "received_bytes": 3}


async def test_another_project_sees_none_of_it(http: httpx.AsyncClient, services: Services, faq: str) -> None:
    services.projects.create("acme")
    _, text = services.keys.create(NewKey(project="acme"))
    headers = {"authorization": f"Bearer {text}"}
    assert (await http.get("/llmos/v1/knowledge", headers=headers)).json() == {"data": []}
    assert (await http.get("/llmos/v1/knowledge/faq", headers=headers)).status_code == 404
    files = {"files": [{"name": "a.md", "digest": digest_of(FILES["shop/returns.md"])}]}
    missing = await http.post("/llmos/v1/knowledge-uploads/missing", json=files, headers=headers)
    assert len(missing.json()["digests"]) == 1


async def test_a_viewer_may_not_read_it(http: httpx.AsyncClient, services: Services, faq: str) -> None:
    _, text = services.keys.create(NewKey(project="owner", role="viewer"))
    refused = await http.get("/llmos/v1/knowledge", headers={"authorization": f"Bearer {text}"})
    assert refused.status_code == 403
