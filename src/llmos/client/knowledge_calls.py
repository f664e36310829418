"""The calls about knowledge: what each sends and how its reply is read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypedDict
from urllib.parse import quote, urlencode

from llmos.client.call import Call, read_each, read_one
from llmos.client.naming_calls import name_path
from llmos.client.upload_calls import LocalFile, local_files
from llmos.core.errors import BadRequest
from llmos.core.schemas.jobs import JobDescription
from llmos.core.schemas.knowledge import (
    Citation,
    DocumentPage,
    KnowledgeDescription,
    KnowledgeDetails,
    MetadataValue,
    MissingFiles,
    SearchDescription,
)
from llmos.core.schemas.knowledge_eval import KnowledgeEvalDescription
from llmos.core.schemas.models import RemovalDescription

ROOT = "/llmos/v1/knowledge"
UPLOADS = "/llmos/v1/knowledge-uploads"

PAGE = 1000
"""The documents that one request lists, and the files that one request asks about."""


class AddSettings(TypedDict, total=False):
    """The settings with which documents become knowledge. What isn't given stays as it is in the newest Version."""

    embedding: str | None
    """The model that makes the vectors; by default minilm for a first Version."""
    max_tokens: int | None
    """The most tokens of a passage; by default for a first Version, the most that the embedding model accepts, up to
    256."""
    overlap_tokens: int | None
    """The most tokens of the previous passage that a passage repeats."""
    metadata: Mapping[str, MetadataValue] | None
    """The metadata of each document."""
    subject: str | None
    """The person that the documents are about, by the name in requests."""
    on_error: Literal["stop", "skip"]
    """"skip" leaves out documents that can't be read, and counts them in the report."""


class SearchSettings(TypedDict, total=False):
    """The settings of a search. What isn't given has the server's default."""

    limit: int
    """The most passages; 10."""
    mode: Literal["hybrid", "text", "vector"] | None
    """"text" searches for words alone, "vector" for the meaning alone, "hybrid" for both. None: the best one by the
    version's evaluation, or "hybrid"."""
    filters: Mapping[str, Any] | None
    """On the metadata of documents: {"type": "eq", "key": "region", "value": "eu"}."""
    documents: Sequence[str] | None
    """Search only in these."""
    reranker: str | None
    """A model that orders the passages by how well they answer the query."""


@dataclass(frozen=True, slots=True)
class FileToAdd:
    file: LocalFile
    digest: str
    is_named: bool
    """It was named itself; otherwise it was found in a folder."""

    @property
    def fields(self) -> dict[str, str]:
        return {"name": self.file.name, "digest": self.digest}


def files_at(paths: Path | str | Sequence[Path | str]) -> list[FileToAdd]:
    """Return the files at some paths, each itself or those of a folder. Raises BadRequest for two of one name."""
    found: dict[str, FileToAdd] = {}
    for path in [paths] if isinstance(paths, Path | str) else paths:
        is_named = Path(path).is_file()
        for file in local_files(path):
            if file.name in found:
                raise BadRequest(
                    f"{found[file.name].file.path} and {file.path} would be the same document, {file.name}. Rename one,"
                    " or give the folder above both.",
                    param="files",
                )
            found[file.name] = FileToAdd(file, file.digest(), is_named)
    return list(found.values())


def documents_among(files: Sequence[FileToAdd], found: Sequence[MissingFiles]) -> list[FileToAdd]:
    """Return the files without those that a folder has beside documents. Raises BadRequest where none is left."""
    others = {name for each in found for name in each.other_files}
    documents = [each for each in files if each.is_named or each.file.name not in others]
    if not documents:
        raise BadRequest("There are no documents: no name has the suffix of one, such as .md or .pdf.", param="files")
    return documents


def files_to_send(documents: Sequence[FileToAdd], found: Sequence[MissingFiles]) -> list[FileToAdd]:
    """Return one file of each content that the server doesn't have. A named file with another suffix is one of them:
    the server says what is wrong with it."""
    missing = {digest for each in found for digest in each.digests}
    others = {name for each in found for name in each.other_files}
    wanted = [each for each in documents if each.digest in missing or each.file.name in others]
    return list({each.digest: each for each in wanted}.values())


def list_knowledge() -> Call[list[KnowledgeDescription]]:
    return Call(method="GET", path=ROOT, read=read_each(KnowledgeDescription))


def get_knowledge(name: str) -> Call[KnowledgeDetails]:
    return Call(method="GET", path=name_path(ROOT, name), read=read_one(KnowledgeDetails))


def remove_knowledge(name: str) -> Call[RemovalDescription]:
    return Call(method="DELETE", path=name_path(ROOT, name), read=read_one(RemovalDescription))


def list_documents(name: str, after: str | None, limit: int) -> Call[DocumentPage]:
    query = urlencode({"limit": limit} | ({} if after is None else {"after": after}))
    return Call(method="GET", path=f"{name_path(ROOT, name)}/documents?{query}", read=read_one(DocumentPage))


def read_passage(name: str, document: str, start: int, end: int | None) -> Call[Citation]:
    query = urlencode({"start": start} | ({} if end is None else {"end": end}))
    path = f"{name_path(ROOT, name)}/documents/{quote(document)}?{query}"
    return Call(method="GET", path=path, read=read_one(Citation))


def search(name: str, query: str, settings: SearchSettings) -> Call[SearchDescription]:
    body = {"query": query, **_given(settings)}
    return Call(method="POST", path=f"{name_path(ROOT, name)}/search", body=body, read=read_one(SearchDescription))


def remove_documents(name: str, documents: Sequence[str]) -> Call[KnowledgeDescription]:
    body = {"documents": list(documents)}
    path = f"{name_path(ROOT, name)}/remove-documents"
    return Call(method="POST", path=path, body=body, read=read_one(KnowledgeDescription))


def find_missing(files: Sequence[FileToAdd]) -> list[Call[MissingFiles]]:
    """Return the calls that ask which files have to be uploaded, a part of them each."""
    path = f"{UPLOADS}/missing"
    parts = [files[first : first + PAGE] for first in range(0, len(files), PAGE)]
    bodies = [{"files": [each.fields for each in part]} for part in parts]
    return [Call(method="POST", path=path, body=body, read=read_one(MissingFiles)) for body in bodies]


def start_sync(name: str, files: Sequence[FileToAdd], settings: AddSettings, *, replaces: bool) -> Call[JobDescription]:
    fields = [each.fields for each in files]
    body = {"kind": "knowledge_sync", "name": name, "files": fields, "replace": replaces, **_given(settings)}
    return Call(method="POST", path="/llmos/v1/jobs", body=body, read=read_one(JobDescription))


def start_evaluation(name: str, cases: str) -> Call[JobDescription]:
    body = {"kind": "knowledge_eval", "knowledge": name, "cases": cases}
    return Call(method="POST", path="/llmos/v1/jobs", body=body, read=read_one(JobDescription))


def get_evaluation(name: str) -> Call[KnowledgeEvalDescription]:
    return Call(method="GET", path=f"{name_path(ROOT, name)}/evaluation", read=read_one(KnowledgeEvalDescription))


def _given(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value is not None}
