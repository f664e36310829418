"""The job `verify`: read every byte of a Version and find a signature that vouches for it."""

import shlex
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from llmos.core.config import Settings
from llmos.core.schemas.signatures import KeyDescription, SignedDescription
from llmos.gateway.http.requests import RequestObject
from llmos.gateway.jobs.kinds import Context, JobKind
from llmos.models.registry import Registry
from llmos.models.signing.signing import Signing
from llmos.models.signing.trusted_keys import TrustedKeys, read_key
from llmos.security.permissions import Permission


class VerifyJob(RequestObject, kw_only=True):
    """Verify a Version's signature."""

    kind: Literal["verify"] = "verify"
    model: str
    """The reference of the Version to verify."""
    key: str | None = None
    """A public key in PEM. Default: any of the keys that the server trusts."""


def _check(settings: Settings, registry: Registry, request: VerifyJob) -> VerifyJob:
    if request.key is not None:
        with tempfile.TemporaryDirectory() as folder:
            read_key(_key_file(folder, request.key))
    return msgspec.structs.replace(request, model=registry.resolve(request.model).ref)


def _work(context: Context, request: VerifyJob) -> Mapping[str, Any]:
    signing = Signing(context.registry, TrustedKeys(context.settings.trusted_keys_path))
    with tempfile.TemporaryDirectory() as folder:
        key = None if request.key is None else _key_file(folder, request.key)
        signed = signing.verify(request.model, key, lambda num_done: context.progress("reading", num_done, None))
    described = SignedDescription(
        version=signed.version.ref,
        digest=signed.version.digest,
        key=KeyDescription(name=signed.key.name, fingerprint=signed.key.fingerprint),
        covers_statement=signed.covers_statement,
    )
    result: dict[str, Any] = msgspec.to_builtins(described)
    return result


def _command(request: VerifyJob) -> str:
    key = [] if request.key is None else ["--key", "FILE"]
    return shlex.join(["llmos", "verify", request.model, *key])


def _key_file(folder: str, pem: str) -> Path:
    path = Path(folder) / "key.pem"
    path.write_text(pem)
    return path


VERIFY = JobKind(
    name="verify",
    request=VerifyJob,
    check=_check,
    work=_work,
    command=_command,
    permission=Permission.MODELS_READ,
)
