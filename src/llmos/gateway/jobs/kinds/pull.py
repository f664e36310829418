"""The job `pull`: get a model of the catalog, or from a location. Goes on where an earlier attempt ended."""

import shlex
from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

import msgspec

from llmos.core.config import Settings
from llmos.core.errors import BadRequest
from llmos.core.names import check_name
from llmos.core.progress import Progress
from llmos.gateway.http.requests import RequestObject
from llmos.gateway.jobs.kinds import Context, JobKind
from llmos.models.descriptions import describe_version
from llmos.models.registry import Registry
from llmos.models.sources import check_location, kind_of
from llmos.models.transfer.transfers import CATALOG_KNOWS_TASKS, CATALOG_NEEDS_NO_IGNORE, Transfers, is_location
from llmos.security.permissions import Permission


class PullJob(RequestObject, kw_only=True):
    """Get a model."""

    kind: Literal["pull"] = "pull"
    model: str
    """A model of the catalog, or a location such as hf:OWNER/NAME@REVISION or https://…/FILE.gguf."""
    name: str | None = None
    """The new model's name, for a location that doesn't say it."""
    ignored_keys: list[str] = msgspec.field(default_factory=list)
    """Keys of the model's configuration that the engine would refuse because it doesn't know them, and that you know to
    be harmless. Only for a model at a location."""
    task: Literal["rerank"] | None = None
    """The task of a model at a location whose files don't say that it scores pairs of texts."""
    encrypt: bool = False
    """Store the model's files encrypted. A server with the policy encrypt_models always does."""


def _check(settings: Settings, registry: Registry, request: PullJob) -> PullJob:
    if is_location(request.model):
        check_location(request.model)
        if kind_of(request.model) == "file":  # A key for this API gives no access to the server's files.
            raise BadRequest(
                f"{request.model} is a file of the server's machine. Import it there: llmos import PATH", param="model"
            )
        if request.name is not None:
            check_name(request.name, "a model")
    elif request.name is not None:
        raise BadRequest("A model of the catalog keeps its name. Leave `name` out.", param="name")
    elif request.ignored_keys:
        raise BadRequest(CATALOG_NEEDS_NO_IGNORE, param="ignored_keys")
    elif request.task is not None:
        raise BadRequest(CATALOG_KNOWS_TASKS, param="task")
    else:
        registry.catalog.find(request.model)
    return request


def _work(context: Context, request: PullJob) -> Mapping[str, Any]:
    registry, progress = context.registry, context.progress
    registry = registry.encrypting() if request.encrypt else registry
    if is_location(request.model):
        version = Transfers(registry).pull(
            request.model, request.name, progress, ignored_keys=request.ignored_keys, task=request.task
        )
    else:
        notice = partial(_report_notice, progress)
        version = Transfers(registry).pull_from_catalog(request.model, progress, notice)
    described: dict[str, Any] = msgspec.to_builtins(describe_version(version, registry.labels.all()))
    return described


def _report_notice(progress: Progress, sentence: str) -> None:
    progress(sentence, 0, None)


def _command(request: PullJob) -> str:
    name = [] if request.name is None else ["--name", request.name]
    ignore = [each for key in request.ignored_keys for each in ("--ignore", key)]
    task = [] if request.task is None else ["--task", request.task]
    encrypt = ["--encrypt"] if request.encrypt else []
    return shlex.join(["llmos", "pull", request.model, *name, *ignore, *task, *encrypt])


PULL = JobKind(
    name="pull",
    request=PullJob,
    check=_check,
    work=_work,
    command=_command,
    permission=Permission.MODELS_WRITE,
    is_heavy=False,
    resumes=True,
)
