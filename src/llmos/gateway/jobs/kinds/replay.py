"""The job `replay`: screen kept calls with a policy of guardrails, and compare it with those that apply now."""

import shlex
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from llmos.core.config import Settings
from llmos.core.encryption.opening import open_encryption
from llmos.core.errors import BadRequest
from llmos.data.files import Files
from llmos.data.traffic import KeptTraffic
from llmos.gateway.http.requests import RequestObject
from llmos.gateway.jobs.kinds import Context, JobKind
from llmos.models.registry import Registry
from llmos.security.guardrails.policies import GuardrailPolicies
from llmos.security.guardrails.policy import Policy, open_policy
from llmos.security.guardrails.replay import replay
from llmos.security.permissions import Permission


class ReplayJob(RequestObject, kw_only=True):
    """Screen kept calls with a policy of guardrails."""

    kind: Literal["replay"] = "replay"
    policy: Annotated[str, msgspec.Meta(max_length=64)]
    """The policy."""
    document: dict[str, Any] | None = None
    """A policy that isn't stored, with `input`, `output` and `both`. Default: the last version of the stored one."""
    since: Annotated[datetime, msgspec.Meta(tz=True)]
    """The calls since this moment."""
    project: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    """Only the calls of this project."""


def _policy(policies: GuardrailPolicies, request: ReplayJob) -> Policy:
    if request.document is not None:
        return open_policy(request.policy, 0, request.document)
    stored = policies.get(request.policy)
    return open_policy(stored.name, stored.version, stored.document)


def _check(settings: Settings, registry: Registry, request: ReplayJob) -> ReplayJob:
    if not 1970 <= request.since.year < 9999:
        raise BadRequest("`since` must be a time from 1970 on.", param="since")
    if request.project is not None and not request.project.isprintable():
        raise BadRequest("`project` can't be the name of a project.", param="project")
    _policy(GuardrailPolicies(registry.database), request)
    return request


def _work(context: Context, request: ReplayJob) -> Mapping[str, Any]:
    database = context.registry.database
    files = Files(database, context.settings.files_path, open_encryption(context.settings, database))
    policies, traffic = GuardrailPolicies(database), KeptTraffic(database, files)
    described = replay(
        _policy(policies, request),
        traffic.calls(request.since, request.project),
        lambda call: policies.of_kept_call(project=call.project, route=call.model),
        since=request.since,
        num_calls=traffic.count(request.since, request.project),
        progress=context.progress,
    )
    result: dict[str, Any] = msgspec.to_builtins(described)
    return result


def _command(request: ReplayJob) -> str:
    project = [] if request.project is None else ["--project", request.project]
    return shlex.join(["llmos", "guardrail", "replay", request.policy, "--since", request.since.isoformat(), *project])


REPLAY = JobKind(
    name="replay",
    request=ReplayJob,
    check=_check,
    work=_work,
    command=_command,
    permission=Permission.GUARDRAILS_READ,
)
