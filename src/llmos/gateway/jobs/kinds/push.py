"""The job `push`: send a Version to another server or a registry. Only what is missing there is sent."""

import shlex
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from llmos.core.config import Settings
from llmos.core.schemas.transfers import PushDescription
from llmos.gateway.http.requests import RequestObject
from llmos.gateway.jobs.kinds import Context, JobKind
from llmos.models.registry import Registry
from llmos.models.transfer.transfers import Transfers
from llmos.security.permissions import Permission


class PushJob(RequestObject, kw_only=True):
    """Send a Version to another server, or as an image to a registry, with the credentials of this server."""

    kind: Literal["push"] = "push"
    model: str
    """The reference of the Version to send."""
    target: str
    """llmos:https://HOST for another server, oci:HOST/REPOSITORY:TAG for a registry."""
    base: str | None = None
    """A base image (oci:…) for the model's layers."""


def _check(settings: Settings, registry: Registry, request: PushJob) -> PushJob:
    version = Transfers(registry).check_push(request.model, request.target, request.base)
    return msgspec.structs.replace(request, model=version.ref)


def _work(context: Context, request: PushJob) -> Mapping[str, Any]:
    pushed = Transfers(context.registry).push(request.model, request.target, context.progress, base=request.base)
    described = PushDescription(location=pushed.location, sent_bytes=pushed.num_bytes)
    result: dict[str, Any] = msgspec.to_builtins(described)
    return result


def _command(request: PushJob) -> str:
    base = [] if request.base is None else ["--base", request.base]
    return shlex.join(["llmos", "push", request.model, request.target, *base])


PUSH = JobKind(
    name="push",
    request=PushJob,
    check=_check,
    work=_work,
    command=_command,
    permission=Permission.MODELS_WRITE,
    is_heavy=False,
    resumes=True,
)
