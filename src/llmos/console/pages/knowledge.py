"""Knowledge: the list, and one version with its documents, settings and evaluation; see knowledge_search.py."""

from collections.abc import Sequence
from typing import Any

from starlette.responses import Response

from llmos.console import code
from llmos.console.listing import Listing, Part, csv_response, is_wanted_as_csv
from llmos.console.page import Fragments, Page
from llmos.console.pages import knowledge_search, version_names
from llmos.console.tables import Column, Table
from llmos.console.uploads import answer, send_file, sent_form
from llmos.console.view import View
from llmos.core.errors import BadRequest, LLMOSError, NotFound
from llmos.core.schemas.base import read_description
from llmos.core.schemas.datasets import DatasetDescription
from llmos.core.schemas.jobs import JobDescription
from llmos.core.schemas.knowledge import (
    DocumentDescription,
    DocumentPage,
    KnowledgeDescription,
    KnowledgeDetails,
)
from llmos.core.schemas.knowledge_eval import KnowledgeEvalDescription

PAGE = Page(name="knowledge", permission="knowledge:read")
knowledge_search.register(PAGE)
version_names.register(PAGE, "knowledge")

_API = "/llmos/v1/knowledge"
_JOBS = "/llmos/v1/jobs"
_UPLOADS = "/llmos/v1/knowledge-uploads"
_PAGE_SIZE, _CSV_PAGE_SIZE = 100, 1000

_VERSIONS: Sequence[Column[KnowledgeDescription]] = (
    Column(
        name="version",
        title="knowledge.version",
        value=lambda row: row.version,
        link=lambda row: f"/knowledge/{row.version}",
    ),
    Column(name="num_documents", title="knowledge.documents", value=lambda row: row.num_documents, kind="number"),
    Column(name="num_chunks", title="knowledge.passages", value=lambda row: row.num_chunks, kind="number"),
    Column(name="size_bytes", title="knowledge.size", value=lambda row: row.size_bytes, kind="size"),
    Column(name="embedding", title="knowledge.embedding", value=lambda row: row.embedding),
    Column(
        name="description", title="datasets.description", value=lambda row: row.description or row.knowledge_description
    ),
    Column(name="created_at", title="datasets.since", value=lambda row: row.created_at, kind="time"),
)
_DOCUMENTS: Sequence[Column[DocumentDescription]] = (
    Column(name="name", title="knowledge.document", value=lambda row: row.name),
    Column(name="format", title="knowledge.format", value=lambda row: row.format),
    Column(name="num_bytes", title="knowledge.size", value=lambda row: row.num_bytes, kind="size"),
    Column(name="num_chunks", title="knowledge.passages", value=lambda row: row.num_chunks, kind="number"),
    Column(name="kept", title="knowledge.kept", value=lambda row: row.kept),
    Column(name="digest", title="datasets.digest", value=lambda row: row.digest),
)


@PAGE.get()
async def list_knowledge(view: View) -> Response:
    versions = await view.api.list(KnowledgeDescription, _API)
    table = Table(view, "knowledge", _VERSIONS, versions[::-1], empty="knowledge.none")
    if table.is_wanted_as_csv:
        return table.csv()
    return view.render(
        "knowledge.html",
        table=table,
        jobs=await _jobs(view),
        may_write=view.may("knowledge:write") and view.may("jobs:write"),
        code=code.reading(
            "llmos knowledge list",
            _API,
            "for each in client.knowledge.list():\n    print(each.version, each.num_documents)",
        ),
    )


@PAGE.post("/upload")
async def upload(view: View) -> Response:
    """Add the documents that a form sends, or make them all that there are."""
    try:
        async with sent_form(view) as form:
            name = form.fields.get("name", "").strip()
            if not form.files:
                raise BadRequest(view.t("upload.no_file"))
            for file in form.files:
                await send_file(view, _UPLOADS, file)
            body: dict[str, Any] = {
                "kind": "knowledge_sync",
                "name": name,
                "files": [{"name": file.name, "digest": file.digest} for file in form.files],
                "replace": "replace" in form.fields,
                "on_error": "skip" if "skip" in form.fields else "stop",
            }
            await view.api.post(_JOBS, body)
    except LLMOSError as error:
        return answer(view, view.redirect("/knowledge", error.message, kind="failed"))
    text = view.t("knowledge.adding", number=len(body["files"]), name=name)
    return answer(view, view.redirect("/knowledge", text))


@PAGE.live()
async def watch_jobs(view: View) -> Fragments:
    return {"jobs": view.html("knowledge_jobs.html", jobs=await _jobs(view))}


@PAGE.get("/{ref}")
async def show_knowledge(view: View) -> Response:
    ref = view.request.path_params["ref"]
    details = await view.api.read(KnowledgeDetails, f"{_API}/{ref}")

    async def read(after: str | None, limit: int = _CSV_PAGE_SIZE) -> Part[DocumentDescription]:
        page = await view.api.read(DocumentPage, f"{_API}/{details.version}/documents", after=after, limit=limit)
        return Part(page.data, page.data[-1].name if page.has_more and page.data else None)

    if is_wanted_as_csv(view, "documents"):
        return await csv_response("documents", _DOCUMENTS, read)
    part = await read(view.query("after") or None, _PAGE_SIZE)
    return view.render(
        "knowledge_version.html",
        details=details,
        listing=Listing(view, "documents", _DOCUMENTS, part, empty="knowledge.no_documents"),
        is_newest=details.version == details.versions[-1],
        evaluation=await _evaluation(view, details.version),
        cases=await _case_datasets(view),
        may_write=view.may("knowledge:write"),
        code=code.reading(
            f"llmos knowledge documents {details.version}",
            f"{_API}/{details.version}/documents",
            f'for document in client.knowledge.documents("{details.version}"):\n    print(document.name)',
        ),
    )


@PAGE.post("/{ref}/remove")
async def remove(view: View) -> Response:
    await view.form()
    ref = view.request.path_params["ref"]
    view.form_came_from = f"/knowledge/{ref}"
    removed: Any = await view.api.delete(f"{_API}/{ref}")
    return view.redirect("/knowledge", view.t("datasets.removed", name=ref, size=view.t.size(removed["freed_bytes"])))


@PAGE.post("/{ref}/remove-document")
async def remove_document(view: View) -> Response:
    form, ref = await view.form(), view.request.path_params["ref"]
    view.form_came_from = f"/knowledge/{ref}"
    body = {"documents": [form.get("document", "")]}
    name = ref.partition("@")[0]
    made = read_description(KnowledgeDescription, await view.api.post(f"{_API}/{name}/remove-documents", body))
    text = view.t("knowledge.document_removed", ref=made.version, document=body["documents"][0][:200])
    return view.redirect(f"/knowledge/{made.version}", text)


@PAGE.post("/{ref}/evaluate")
async def evaluate(view: View) -> Response:
    form, ref = await view.form(), view.request.path_params["ref"]
    view.form_came_from = f"/knowledge/{ref}"
    cases = form.get("cases", "").strip()
    if not cases:
        raise BadRequest(view.t("knowledge.no_cases"))
    await view.api.post(_JOBS, {"kind": "knowledge_eval", "knowledge": ref, "cases": cases})
    return view.redirect("/knowledge", view.t("knowledge.evaluating", ref=ref))


async def _jobs(view: View) -> Sequence[JobDescription]:
    """Return the work on knowledge that runs, or else the newest."""
    if not view.may("jobs:read"):
        return []
    kinds = ("knowledge_sync", "knowledge_eval")
    found = [job for kind in kinds for job in await view.api.list(JobDescription, _JOBS, kind=kind, limit=3)]
    found = [job for job in found if job.project == view.session.project]
    found.sort(key=lambda job: str(job.created_at), reverse=True)
    return [job for job in found if job.state in ("queued", "running")] or found[:1]


async def _evaluation(view: View, ref: str) -> KnowledgeEvalDescription | None:
    try:
        return await view.api.read(KnowledgeEvalDescription, f"{_API}/{ref}/evaluation")
    except NotFound:
        return None


async def _case_datasets(view: View) -> Sequence[str]:
    if not (view.may("datasets:read") and view.may("knowledge:write") and view.may("jobs:write")):
        return []
    found = await view.api.list(DatasetDescription, "/llmos/v1/datasets")
    return [each.version for each in found if each.kind == "case"]
