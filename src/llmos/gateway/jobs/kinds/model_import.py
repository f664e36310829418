"""The job `model_import`: make a Version of files that were uploaded: a GGUF file, its parts, or a folder."""

import shlex
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from llmos.core.config import Settings
from llmos.core.errors import BadRequest
from llmos.core.names import check_file_name, check_name
from llmos.data.uploads import Uploads
from llmos.gateway.http.requests import RequestObject
from llmos.gateway.jobs.kinds import Context, JobKind
from llmos.models.descriptions import describe_version
from llmos.models.registry import Registry
from llmos.models.transfer.transfers import Transfers
from llmos.security.permissions import Permission

ENDPOINT = "/llmos/v1/model-uploads"


class UploadedModelFile(RequestObject, kw_only=True):
    name: str
    """Its path within the model's folder."""
    digest: str
    """The digest of its upload, sha256:<hex>."""


class ModelImportJob(RequestObject, kw_only=True):
    """Import a model."""

    lists: ClassVar[Mapping[str, type[RequestObject]]] = {"files": UploadedModelFile}

    kind: Literal["model_import"] = "model_import"
    name: str
    """The new model's name, or MODEL:ADAPTER for an adapter."""
    files: Annotated[list[UploadedModelFile], Meta(max_length=1000)] = msgspec.field(default_factory=list)
    """A GGUF file or its parts, the files of a Hugging Face folder, or those of an adapter."""
    license: str | None = None
    """In place of the one in the files."""


def _check(settings: Settings, registry: Registry, request: ModelImportJob) -> ModelImportJob:
    check_name(request.name.partition(":")[0], "a model")
    if not request.files:
        raise BadRequest(f"Upload the model's files to {ENDPOINT}, and name them in `files`.", param="files")
    names = [check_file_name(file.name) for file in request.files]
    if len(set(names)) < len(names):
        raise BadRequest("`files` has two files with the same name. Name each once.", param="files")
    return request


def _work(context: Context, request: ModelImportJob) -> Mapping[str, Any]:
    registry = context.registry
    uploads = Uploads(context.settings.uploads_path, registry.store)
    with uploads.taken(context.project, {file.name: file.digest for file in request.files}, ENDPOINT) as folder:
        only = folder / request.files[0].name
        is_single = len(request.files) == 1 and only.suffix == ".gguf"
        path = only if is_single else folder
        version = Transfers(registry).import_path(path, request.name, context.progress, license=request.license)
    described: dict[str, Any] = msgspec.to_builtins(describe_version(version, registry.labels.all()))
    return described


def _command(request: ModelImportJob) -> str:
    what = request.files[0].name if len(request.files) == 1 else "FOLDER"
    return shlex.join(["llmos", "import", what, "--name", request.name])


MODEL_IMPORT = JobKind(
    name="model_import",
    request=ModelImportJob,
    check=_check,
    work=_work,
    command=_command,
    permission=Permission.MODELS_WRITE,
)
