"""The job `vector_store_sync`: make the files that were put into a vector store searchable."""

from collections.abc import Mapping
from typing import Any, Literal

from llmos.core.config import Settings
from llmos.core.encryption.opening import open_encryption
from llmos.data.files import Files
from llmos.data.knowledge.knowledge import Knowledge
from llmos.data.vector_stores.syncing import sync_files
from llmos.data.vector_stores.vector_stores import VectorStores
from llmos.gateway.http.requests import RequestObject
from llmos.gateway.jobs.kinds import Context, JobKind
from llmos.gateway.knowledge_embedder import embedder_opener
from llmos.models.registry import Registry
from llmos.security.permissions import Permission

NAME = "vector_store_sync"


class VectorStoreSyncJob(RequestObject, kw_only=True):
    """Read the files of a vector store that are in progress. Every change of a vector store starts it."""

    kind: Literal["vector_store_sync"] = "vector_store_sync"
    vector_store: str
    """The id of the vector store."""
    change: str = ""
    """Identifies the change. It makes the request differ from one that is running, which may not see the change."""


def _check(settings: Settings, registry: Registry, request: VectorStoreSyncJob) -> VectorStoreSyncJob:
    return request


def _work(context: Context, request: VectorStoreSyncJob) -> Mapping[str, Any]:
    assert context.embed is not None, "it is heavy"
    registry, settings = context.registry, context.settings
    knowledge = Knowledge(registry.database, registry.store)
    stores = VectorStores(registry.database, knowledge)
    return sync_files(
        stores,
        stores.get(context.project, request.vector_store),
        Files(registry.database, settings.files_path, open_encryption(settings, registry.database)),
        knowledge.of(context.project),
        embedder_opener(registry, context.embed),
        settings.uploads_path,
        actor=context.actor,
        progress=context.progress,
    )


def _command(request: VectorStoreSyncJob) -> str:
    return f"llmos knowledge show {request.vector_store}"


VECTOR_STORE_SYNC = JobKind(
    name=NAME,
    request=VectorStoreSyncJob,
    check=_check,
    work=_work,
    command=_command,
    permission=Permission.KNOWLEDGE_WRITE,
    resumes=True,
)
