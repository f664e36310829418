"""Uploads by plain forms: a dataset with its preview and mapping, documents of knowledge, and what can't be taken."""

import re
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from llmos.console import uploads
from llmos.gateway.services import Services
from support.chromium import HOSTILE

pytestmark = [pytest.mark.anyio, pytest.mark.process]

QUIZ = f'question,answer,level\n1 + 1,2,easy\n"{HOSTILE.replace(chr(34), chr(34) * 2)}",3,hard\n'.encode()


async def token_of(browser: httpx.AsyncClient) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', (await browser.get("/console/datasets")).text)
    assert found is not None
    return found[1]


async def upload(
    browser: httpx.AsyncClient, path: str, files: list[tuple[str, tuple[str, bytes]]], **fields: str
) -> httpx.Response:
    return await browser.post(f"/console{path}", data={"csrf_token": await token_of(browser)} | fields, files=files)


async def test_a_file_is_shown_mapped_and_imported(ann: httpx.AsyncClient, services: Services) -> None:
    reply = await upload(ann, "/datasets/upload", [("file", ("C:\\me\\quiz <b>.csv", QUIZ))], name="quiz")
    assert reply.url.path == "/console/datasets/import", reply.text
    assert "<bdi>quiz &lt;b&gt;.csv</bdi>" in reply.text
    asked = {name: values[0] for name, values in parse_qs(urlsplit(str(reply.url)).query).items()}
    mapped = asked | {"shape": "case", "mapping": "input=question\r\nexpected=answer\r\n", "consent": "eval"}
    html = (await ann.get("/console/datasets/import", params=mapped)).text
    assert "&#34;input&#34;: &#34;1 + 1&#34;" in html
    assert "<bdi>level</bdi>" in html
    assert "<script>alert" not in html
    wrong = (await ann.get("/console/datasets/import", params=mapped | {"mapping": "input=nothing"})).text
    assert "These lines are no rows:" in wrong
    reply = await ann.post("/console/datasets/import", data=mapped | {"csrf_token": await token_of(ann)})
    assert reply.url.path.startswith("/console/datasets/jobs/"), reply.text
    (job,) = services.jobs.list(kind="dataset_import")
    assert job.request["mapping"] == {"input": "question", "expected": "answer"}
    assert (job.request["name"], job.request["consent"]) == ("quiz", "eval")


async def test_documents_become_a_job_and_the_script_gets_an_address(
    ann: httpx.AsyncClient, services: Services
) -> None:
    files = [("files", ("faq.md", b"# Guarantee\n\nTwo years.\n")), ("files", ("empty.md", b""))]
    fields = {"name": "faq", "replace": "on", "csrf_token": await token_of(ann)}
    reply = await ann.post("/console/knowledge/upload", data=fields, files=files, headers={"x-upload": "script"})
    assert (reply.status_code, reply.text) == (200, "/console/knowledge"), reply.text
    assert "2 files are being added to faq." in (await ann.get("/console/knowledge")).text
    (job,) = services.jobs.list(kind="knowledge_sync")
    assert ([each["name"] for each in job.request["files"]], job.request["replace"]) == (["faq.md", "empty.md"], True)


async def test_what_can_not_be_taken_is_said(ann: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = await upload(ann, "/datasets/upload", [("file", ("", b""))], name="x")
    assert "No file was chosen." in nothing.text
    bad_name = await upload(ann, "/knowledge/upload", [("files", ("a.md", b"x"))], name="Not a name!")
    assert 'role="alert"' in bad_name.text
    headers = {"content-type": "multipart/form-data; boundary=x"}
    broken = await ann.post("/console/datasets/upload", content=b"--x\r\nnothing", headers=headers)
    assert "The form is not valid" in broken.text
    monkeypatch.setattr(uploads, "MAX_BYTES", 100)
    large = await upload(ann, "/datasets/upload", [("file", ("a.txt", b"x" * 200))], name="x")
    assert "The files have more than 100 B together." in large.text


async def test_a_form_of_another_session_sends_nothing(ann: httpx.AsyncClient, services: Services) -> None:
    fields = {"csrf_token": "wrong", "name": "x"}
    reply = await ann.post("/console/datasets/upload", data=fields, files=[("file", ("a.txt", b"x"))])
    assert "CSRF token" in reply.text


async def test_large_files_go_in_parts(ann: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "_PIECE_BYTES", 7)
    reply = await upload(ann, "/datasets/upload", [("file", ("lines.txt", b"one line\ntwo lines\n"))], name="lines")
    assert "two lines" in reply.text
