"""The descriptions of projects, keys, guardrail policies and public keys."""

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from llmos.core.clock import utc_now
from llmos.core.schemas.guardrails import GuardrailPolicyDescription
from llmos.core.schemas.keys import KeyDescription, NewKeyDescription
from llmos.core.schemas.limits import LimitsDescription
from llmos.core.schemas.projects import ProjectDescription
from llmos.core.schemas.signing_keys import SigningKeyDescription

if TYPE_CHECKING:
    from llmos.security.guardrails.policies import StoredPolicy
    from llmos.security.keys import Key
    from llmos.security.limits import Limits
    from llmos.security.projects import Project
    from llmos.security.signing_key import PublicKey


def describe_project(project: "Project") -> ProjectDescription:
    return ProjectDescription(
        name=project.name,
        description=project.description,
        num_keys=project.num_keys,
        limits=describe_limits(project.limits),
        retention=project.retention,
        created_at=project.created_at,
        created_by=project.created_by,
    )


def describe_key(key: "Key", now: datetime | None = None) -> KeyDescription:
    return KeyDescription(
        id=key.id,
        project=key.project,
        name=key.name,
        role=key.role,
        state=key.state(now or utc_now()),
        ends_with=key.ends_with,
        routes=list(key.routes),
        addresses=list(key.addresses),
        limits=describe_limits(key.limits),
        created_at=key.created_at,
        created_by=key.created_by,
        expires_at=key.expires_at,
        rotated_at=key.rotated_at,
        old_expires_at=key.old_expires_at,
        revoked_at=key.revoked_at,
        last_used_at=key.last_used_at,
        permissions=None if key.permissions is None else list(key.permissions),
        app=key.app,
    )


def describe_limits(limits: "Limits") -> LimitsDescription:
    return LimitsDescription(**limits.stored())


def describe_new_key(key: "Key", text: str) -> NewKeyDescription:
    return NewKeyDescription(**msgspec.structs.asdict(describe_key(key)), key=text)


def describe_signing_key(key: "PublicKey") -> SigningKeyDescription:
    return SigningKeyDescription(id=key.id, pem=key.pem)


def describe_guardrail_policy(policy: "StoredPolicy") -> GuardrailPolicyDescription:
    return GuardrailPolicyDescription(
        name=policy.name,
        version=policy.version,
        digest=policy.digest,
        document=dict(policy.document),
        applied_to=list(policy.applied_to),
        created_at=policy.created_at,
        created_by=policy.created_by,
    )
