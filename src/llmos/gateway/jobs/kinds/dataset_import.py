"""The job `dataset_import`: make a Version of a dataset from files that were uploaded, or from a location."""

import shlex
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import msgspec

from llmos.core.config import Settings
from llmos.core.encryption.opening import open_encryption
from llmos.core.errors import BadRequest
from llmos.core.names import check_name
from llmos.core.sources import kind_of
from llmos.data.datasets import open_datasets
from llmos.data.datasets.datasets import ProjectDatasets
from llmos.data.datasets.descriptions import describe_version
from llmos.data.datasets.fetching import fetched
from llmos.data.datasets.folder import Layout, layout_of
from llmos.data.datasets.importing import import_files
from llmos.data.datasets.records import ImportOptions
from llmos.data.datasets.versions import DatasetVersion
from llmos.data.uploads import Uploads
from llmos.gateway.http.requests import RequestObject
from llmos.gateway.jobs.kinds import Context, JobKind
from llmos.models.registry import Registry
from llmos.security.permissions import Permission

ENDPOINT = "/llmos/v1/dataset-uploads"


class UploadedFile(RequestObject, kw_only=True):
    name: str
    """Its path within the folder that is imported; its suffixes say its format."""
    digest: str
    """The digest of its upload, sha256:<hex>."""


class ImportFields(RequestObject, kw_only=True):
    """The files that are imported, and the settings."""

    lists: ClassVar[Mapping[str, type[RequestObject]]] = {"files": UploadedFile}

    files: list[UploadedFile] = msgspec.field(default_factory=list)
    """Files that were uploaded."""
    location: str | None = None
    """In place of files: hf:OWNER/NAME@REVISION, https://…/FILE, pypi:NAME==VERSION#FILE or s3://BUCKET/FOLDER."""
    shape: str | None = None
    """The shape of the records, such as `sharegpt`. Default: it is recognized."""
    mapping: dict[str, str] = msgspec.field(default_factory=dict)
    """{field: column}: for fields of the shape, and for language, license, consent, subject and split."""
    on_error: Literal["stop", "skip"] = "stop"
    """`skip` leaves bad lines out, and counts them in the report."""
    license: str | None = None
    consent: Literal["train", "eval", "none"] | None = None
    """The use that the rows are allowed for, where they don't say it."""
    language: str | None = None
    split: str | None = None
    config: str | None = None
    """The config to read, of a folder whose README has several."""

    @property
    def options(self) -> ImportOptions:
        return ImportOptions(
            shape=self.shape,
            mapping=self.mapping,
            on_error=self.on_error,
            license=self.license,
            consent=self.consent,
            language=self.language,
            split=self.split,
            config=self.config,
        )


class DatasetImportJob(ImportFields, kw_only=True):
    """Import a dataset."""

    kind: Literal["dataset_import"] = "dataset_import"
    name: str


def check_import(fields: ImportFields) -> None:
    """Raise BadRequest unless the fields name files or a location."""
    if bool(fields.files) == (fields.location is not None):
        raise BadRequest("Name either `files` that were uploaded, or a `location`.", param="files")
    if fields.location is not None and kind_of(fields.location) == "file":
        raise BadRequest(
            f"{fields.location} is a file of the server's machine. Import it there: llmos dataset import PATH",
            param="location",
        )


def uploaded_layout(uploads: Uploads, project: str, fields: ImportFields) -> Layout:
    """Return the layout of uploaded files. Raises NotFound for one that hasn't arrived."""
    files = {file.name: uploads.check(project, file.digest, ENDPOINT) for file in fields.files}
    return layout_of(files, "the upload", fields.config)


def _check(settings: Settings, registry: Registry, request: DatasetImportJob) -> DatasetImportJob:
    check_name(request.name, "a dataset")
    check_import(request)
    return request


def _work(context: Context, request: DatasetImportJob) -> Mapping[str, Any]:
    database = context.registry.database
    datasets = open_datasets(context.settings, database).of(context.project)
    if request.location is not None:
        access = context.registry.access
        with fetched(context.registry.store, request.location, request.config, access, context.progress) as found:
            version = _import(context, datasets, request, *found)
    else:
        uploads = Uploads(context.settings.uploads_path, context.registry.store)
        layout = uploaded_layout(uploads, context.project, request)
        version = _import(context, datasets, request, layout, f"import:{request.files[0].name}")
        for file in request.files:
            uploads.remove(context.project, file.digest)
    described: dict[str, Any] = msgspec.to_builtins(describe_version(version, datasets.labels_of([version])))
    return described


def _import(
    context: Context, datasets: ProjectDatasets, request: DatasetImportJob, layout: Layout, source: str
) -> DatasetVersion:
    ring = open_encryption(context.settings, context.registry.database).ring
    return import_files(
        datasets,
        request.name,
        layout,
        request.options,
        source=source,
        hash_subject=lambda name: ring.index("subject", context.project, name),
        actor=context.actor,
        progress=context.progress,
    )


def _command(request: DatasetImportJob) -> str:
    what = request.location or (request.files[0].name if request.files else "FILE")
    return shlex.join(["llmos", "dataset", "import", what, "--name", request.name])


DATASET_IMPORT = JobKind(
    name="dataset_import",
    request=DatasetImportJob,
    check=_check,
    work=_work,
    command=_command,
    permission=Permission.DATASETS_WRITE,
    resumes=True,
)
