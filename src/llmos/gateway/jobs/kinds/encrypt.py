"""The job `encrypt`: encrypt the files of stored models. Goes on where an earlier attempt ended."""

import shlex
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from llmos.core.config import Settings
from llmos.core.names import parse_reference
from llmos.gateway.http.requests import RequestObject
from llmos.gateway.jobs.kinds import Context, JobKind
from llmos.models.encrypting import encrypt_models, versions_to_encrypt
from llmos.models.registry import Registry
from llmos.security.permissions import Permission


class EncryptJob(RequestObject, kw_only=True):
    """Encrypt the files of a model's Versions, or of one Version."""

    kind: Literal["encrypt"] = "encrypt"
    model: str | None = None
    """A model (all its Versions) or the reference of a Version. null: all models."""


def _check(settings: Settings, registry: Registry, request: EncryptJob) -> EncryptJob:
    versions = versions_to_encrypt(registry, request.model)
    if request.model is None or parse_reference(request.model).is_whole:
        return request
    # The Version that the name means now: an alias may move before the job runs.
    return msgspec.structs.replace(request, model=versions[0].ref)


def _work(context: Context, request: EncryptJob) -> Mapping[str, Any]:
    done: dict[str, Any] = msgspec.to_builtins(encrypt_models(context.registry, request.model, context.progress))
    return done


def _command(request: EncryptJob) -> str:
    return shlex.join(["llmos", "encryption", "models", *([] if request.model is None else [request.model])])


ENCRYPT = JobKind(
    name="encrypt",
    request=EncryptJob,
    check=_check,
    work=_work,
    command=_command,
    permission=Permission.ENCRYPTION_WRITE,
    resumes=True,
)
