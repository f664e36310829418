"""The job `knowledge_sync`: make a Version of knowledge from files that were uploaded."""

import shlex
from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from llmos.core.config import Settings
from llmos.core.encryption.opening import open_encryption
from llmos.core.errors import NotFound
from llmos.core.names import check_name
from llmos.core.schemas.knowledge import MetadataValue
from llmos.data.knowledge import open_knowledge
from llmos.data.knowledge.adding import AddOptions, add_documents, sync_documents
from llmos.data.knowledge.descriptions import describe_version
from llmos.data.knowledge.sources import SourceDocument, check_metadata, check_sources
from llmos.data.uploads import Uploads
from llmos.gateway.http.requests import RequestObject
from llmos.gateway.jobs.kinds import Context, JobKind
from llmos.gateway.knowledge_embedder import check_embeds, embedder_opener
from llmos.models.registry import Registry
from llmos.security.permissions import Permission

UPLOADS = "/llmos/v1/knowledge-uploads"
"""The path of the endpoints that upload files."""

Metadata = dict[str, MetadataValue]


class KnowledgeFile(RequestObject, kw_only=True):
    name: str
    """The name of the document: a relative path."""
    digest: str
    """sha256:<hex> of the file. A file that the project already has as a document needs no upload."""
    metadata: Metadata | None = None
    """The metadata of this file, in place of the `metadata` for all files."""


class SyncFields(RequestObject, kw_only=True):
    """The documents to take, and how they become knowledge. What is left out stays as it is in the newest Version."""

    lists: ClassVar[Mapping[str, type[RequestObject]]] = {"files": KnowledgeFile}

    files: list[KnowledgeFile]
    replace: bool = False
    """The files are all documents of the new Version. Default: the other documents stay."""
    metadata: Metadata | None = None
    """The metadata of each file. Default: the metadata of the document that it replaces."""
    subject: Annotated[str, msgspec.Meta(min_length=1, max_length=512)] | None = None
    """The person that the files are about, by the name in requests. A keyed hash of it is stored."""
    embedding: str | None = None
    """The model that makes the vectors. Default for a first Version: minilm."""
    max_tokens: int | None = None
    """The most tokens of a chunk. Default for a first Version: the most that the embedding model accepts, up to 256."""
    overlap_tokens: int | None = None
    """The most tokens of the previous chunk that a chunk repeats."""
    on_error: Literal["stop", "skip"] = "stop"
    """`skip` leaves out documents that can't be read, and counts them in the report."""


class KnowledgeSyncJob(SyncFields, kw_only=True):
    """Add documents to knowledge, or make it equal to a set of documents."""

    kind: Literal["knowledge_sync"] = "knowledge_sync"
    name: str


def _check(settings: Settings, registry: Registry, request: KnowledgeSyncJob) -> KnowledgeSyncJob:
    check_name(request.name, "knowledge")
    check_metadata(request.metadata or {})
    check_sources(
        [
            SourceDocument(name=file.name, path=None, digest=file.digest, metadata=file.metadata)
            for file in request.files
        ]
    )
    if request.embedding is not None:
        check_embeds(registry, request.embedding)
    return request


def _work(context: Context, request: KnowledgeSyncJob) -> Mapping[str, Any]:
    assert context.embed is not None, "it is heavy"
    registry, project = context.registry, context.project
    knowledge = open_knowledge(registry.database, registry.store).of(project)
    uploads = Uploads(context.settings.uploads_path, registry.store)
    change = sync_documents if request.replace else add_documents
    version = change(
        knowledge,
        request.name,
        _sources(context, uploads, request),
        embedder_opener(registry, context.embed),
        AddOptions(
            embedding=request.embedding,
            max_tokens=request.max_tokens,
            overlap_tokens=request.overlap_tokens,
            on_error=request.on_error,
        ),
        actor=context.actor,
        progress=context.progress,
    )
    for file in request.files:
        uploads.remove(project, file.digest)
    described: dict[str, Any] = msgspec.to_builtins(describe_version(version, knowledge.labels_of([version])))
    return described


def _sources(context: Context, uploads: Uploads, request: KnowledgeSyncJob) -> list[SourceDocument]:
    """Return the files, without a path where they weren't uploaded."""
    subject = None
    if request.subject is not None:
        ring = open_encryption(context.settings, context.registry.database).ring
        subject = ring.index("subject", context.project, request.subject)
    sources = []
    for file in request.files:
        path = None
        with suppress(NotFound):
            path = uploads.check(context.project, file.digest, UPLOADS)
        metadata = file.metadata if file.metadata is not None else request.metadata
        sources.append(
            SourceDocument(name=file.name, path=path, digest=file.digest, metadata=metadata, subject=subject)
        )
    return sources


def _command(request: KnowledgeSyncJob) -> str:
    verb, what = ("sync", "FOLDER") if request.replace else ("add", request.files[0].name if request.files else "FILE")
    return shlex.join(["llmos", "knowledge", verb, request.name, what])


KNOWLEDGE_SYNC = JobKind(
    name="knowledge_sync",
    request=KnowledgeSyncJob,
    check=_check,
    work=_work,
    command=_command,
    permission=Permission.KNOWLEDGE_WRITE,
    resumes=True,
)
