"""The calls about knowledge, with both clients: what they send, and what they make of the replies."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from llmos.core.errors import BadRequest, NotFound

MADE = {"name": "faq", "version": "faq@2", "num_documents": 2}
JOB = {"id": "job-1", "kind": "knowledge_sync", "state": "running"}
ENDED = JOB | {"state": "succeeded", "result": MADE, "ended_at": "2026-01-02T12:00:00Z"}


def asked(server: Any) -> list[tuple[str, str, Any]]:
    return [(each.method, each.path, each.body) for each in server.received]


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in {"a.md": b"A", "b/c.md": b"C", "photo.png": b"P", ".hidden.md": b"H"}.items():
        path = tmp_path / "shop" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "shop"


def test_a_sync_sends_what_the_server_does_not_have_and_no_other_files(connect: Any, server: Any, folder: Path) -> None:
    new = digest_of(b"C")
    server.replies(
        server.json({"digests": [new], "other_files": ["photo.png"]}),
        server.json({"digest": new, "received_bytes": 0}),
        server.json({"digest": new, "received_bytes": 1}),
        server.json(JOB),
        server.json(ENDED),
    )
    made = connect().knowledge.sync("faq", folder, metadata={"region": "eu"})
    assert made.version == "faq@2"
    assert [(method, path) for method, path, _ in asked(server)] == [
        ("POST", "/llmos/v1/knowledge-uploads/missing"),
        ("GET", f"/llmos/v1/knowledge-uploads/{new}"),
        ("PUT", f"/llmos/v1/knowledge-uploads/{new}"),
        ("POST", "/llmos/v1/jobs"),
        ("GET", "/llmos/v1/jobs/job-1"),
    ]
    assert asked(server)[3][2] == {
        "kind": "knowledge_sync",
        "name": "faq",
        "files": [{"name": "a.md", "digest": digest_of(b"A")}, {"name": "b/c.md", "digest": new}],
        "replace": True,
        "metadata": {"region": "eu"},
    }


def test_a_named_file_is_sent_whatever_its_suffix(connect: Any, server: Any, folder: Path) -> None:
    digest = digest_of(b"P")
    failed = JOB | {"state": "failed", "error": {"code": "bad_document", "message": "It is an image."}}
    server.replies(
        server.json({"digests": [], "other_files": ["photo.png"]}),
        server.json({"digest": digest, "received_bytes": 1}),
        server.json(JOB),
        server.json(failed | {"ended_at": "2026-01-02T12:00:00Z"}),
    )
    with pytest.raises(BadRequest, match="It is an image"):
        connect().knowledge.add("faq", [folder / "photo.png"])
    assert asked(server)[1][:2] == ("GET", f"/llmos/v1/knowledge-uploads/{digest}")


def test_a_folder_without_documents_starts_no_job(connect: Any, server: Any, folder: Path) -> None:
    (folder / "a.md").unlink()
    (folder / "b" / "c.md").unlink()
    server.replies(server.json({"digests": [], "other_files": ["photo.png"]}))
    with pytest.raises(BadRequest, match="There are no documents"):
        connect().knowledge.sync("faq", folder)


def test_two_files_that_would_be_one_document_are_refused(connect: Any, folder: Path) -> None:
    (folder / "b" / "a.md").write_text("Another A")
    with pytest.raises(BadRequest, match=r"would be the same document, a\.md"):
        connect().knowledge.add("faq", [folder / "a.md", folder / "b" / "a.md"])


def test_a_version_is_searched_as_it_was_found(connect: Any, server: Any) -> None:
    citation = {"knowledge": "faq@2", "document": "b/c.md", "start": 0, "end": 1, "quote": "C"}
    hit = {"text": "C", "score": 0.5, "citation": citation}
    server.replies(
        server.json(MADE | {"versions": ["faq@1", "faq@2"]}),
        server.json({"version": "faq@2", "hits": [hit], "answerable": None}),
        server.json(citation),
    )
    client = connect()
    faq = client.knowledge.get("faq")
    assert (faq.version, faq.info.num_documents) == ("faq@2", 2)
    [found] = faq.search("C?", limit=3, filters=None).hits
    assert (found.score, found.citation.quote) == (0.5, "C")
    assert faq.passage("b/c.md", start=0, end=1).quote == "C"
    assert asked(server)[1:] == [
        ("POST", "/llmos/v1/knowledge/faq@2/search", {"query": "C?", "limit": 3}),
        ("GET", "/llmos/v1/knowledge/faq@2/documents/b/c.md?start=0&end=1", None),
    ]


def test_documents_are_asked_for_page_by_page(connect: Any, server: Any) -> None:
    server.replies(
        server.json({"data": [{"name": "a.md"}], "has_more": True}),
        server.json({"data": [{"name": "b.md"}], "has_more": False}),
    )
    assert [each.name for each in connect().knowledge.documents("faq")] == ["a.md", "b.md"]
    assert [path for _, path, _ in asked(server)] == [
        "/llmos/v1/knowledge/faq/documents?limit=1000",
        "/llmos/v1/knowledge/faq/documents?limit=1000&after=a.md",
    ]


def test_an_evaluation_is_made_and_read_again(connect: Any, server: Any) -> None:
    report = {
        "knowledge": "faq@2",
        "cases": "questions@1",
        "figures": [{"name": "mrr", "value": 1, "low": 1, "high": 1}],
    }
    server.replies(
        server.json(JOB), server.json(ENDED | {"result": report}), server.json(report), server.error(404, "not_found")
    )
    knowledge = connect().knowledge
    assert knowledge.evaluate("faq", "questions").figures[0].name == "mrr"
    assert asked(server)[0][2] == {"kind": "knowledge_eval", "knowledge": "faq", "cases": "questions"}
    assert knowledge.evaluation("faq").cases == "questions@1"
    with pytest.raises(NotFound):
        knowledge.evaluation("faq")
