"""The requests of projects, keys, users, guardrails, the audit log, receipts, encryption and erasures."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypedDict
from urllib.parse import quote, urlencode

from llmos.client.call import Call, read_each, read_nothing, read_one
from llmos.client.call_settings import given_settings
from llmos.core.schemas.audit import AuditEntryDescription, AuditVerification, CheckpointDescription
from llmos.core.schemas.encryption import EncryptionDescription, RotationDescription
from llmos.core.schemas.erasures import ErasureCertificate
from llmos.core.schemas.guardrails import GuardrailPolicyDescription, GuardrailTrial
from llmos.core.schemas.keys import KeyDescription, NewKeyDescription
from llmos.core.schemas.projects import ProjectDescription
from llmos.core.schemas.receipts import ReceiptDescription
from llmos.core.schemas.signing_keys import SigningKeyDescription
from llmos.core.schemas.users import RoleDescription, SignedOutDescription, SignInLinkDescription, UserDescription

# Erasures


def forget(subject: str, project: str | None) -> Call[ErasureCertificate]:
    body = {"subject": subject, "project": project}
    return Call(method="POST", path="/llmos/v1/erasures", body=body, read=read_one(ErasureCertificate))


# Encryption


def get_encryption() -> Call[EncryptionDescription]:
    return Call(method="GET", path="/llmos/v1/encryption", read=read_one(EncryptionDescription))


def rotate_encryption(project: str | None) -> Call[RotationDescription]:
    body = {"project": project}
    return Call(method="POST", path="/llmos/v1/encryption/rotate", body=body, read=read_one(RotationDescription))


def encrypt_kept() -> Call[EncryptionDescription]:
    return Call(method="POST", path="/llmos/v1/encryption/encrypt", read=read_one(EncryptionDescription))


# Projects


class Limits(TypedDict, total=False):
    """The limits of a key or a project. One that is left out or None is none."""

    requests_per_minute: int | None
    tokens_per_minute: int | None
    """The tokens of prompts and answers together."""
    concurrent_requests: int | None
    prompt_tokens: int | None
    """The longest prompt that a call may send to a model that answers."""
    output_tokens: int | None
    """The longest answer that a call may ask for."""


def create_project(name: str, description: str, limits: Limits | None) -> Call[ProjectDescription]:
    body = {"name": name, "description": description, "limits": dict(limits or {})}
    return Call(method="POST", path="/llmos/v1/projects", body=body, read=read_one(ProjectDescription))


def list_projects() -> Call[list[ProjectDescription]]:
    return Call(method="GET", path="/llmos/v1/projects", read=read_each(ProjectDescription))


def get_project(name: str) -> Call[ProjectDescription]:
    return Call(method="GET", path=_project_path(name), read=read_one(ProjectDescription))


def limit_project(name: str, limits: Limits) -> Call[ProjectDescription]:
    body = given_settings(limits, Limits, "A project")
    return Call(method="PUT", path=f"{_project_path(name)}/limits", body=body, read=read_one(ProjectDescription))


def set_project_retention(name: str, retention: str) -> Call[ProjectDescription]:
    path, body = f"{_project_path(name)}/retention", {"retention": retention}
    return Call(method="PUT", path=path, body=body, read=read_one(ProjectDescription))


def remove_project(name: str) -> Call[None]:
    return Call(method="DELETE", path=_project_path(name), read=read_nothing)


def _project_path(name: str) -> str:
    return f"/llmos/v1/projects/{quote(name, safe='')}"


# Keys


class KeySettings(TypedDict, total=False):
    """The settings of a new API key. A setting that is left out gets the server's default."""

    project: str | None
    """The project; by default that of the calling key."""
    name: str
    """A label, such as the owner or the purpose of the key."""
    role: str
    """viewer, developer (the default), operator or owner."""
    expires_at: datetime | None
    """With a time zone. By default never."""
    routes: Sequence[str]
    """The names that it may ask for; by default all."""
    addresses: Sequence[str]
    """The networks that it may be used from, such as 10.0.0.0/8; by default all."""
    limits: Limits


def create_key(settings: KeySettings) -> Call[NewKeyDescription]:
    body: dict[str, Any] = given_settings(settings, KeySettings, "A key")
    if (expires_at := settings.get("expires_at")) is not None:
        body["expires_at"] = expires_at.isoformat()
    return Call(method="POST", path="/llmos/v1/keys", body=body, read=read_one(NewKeyDescription))


def list_keys(project: str | None) -> Call[list[KeyDescription]]:
    query = "" if project is None else f"?{urlencode({'project': project})}"
    return Call(method="GET", path=f"/llmos/v1/keys{query}", read=read_each(KeyDescription))


def get_key(id: str) -> Call[KeyDescription]:
    return Call(method="GET", path=_key_path(id), read=read_one(KeyDescription))


def limit_key(id: str, limits: Limits) -> Call[KeyDescription]:
    body = given_settings(limits, Limits, "A key")
    return Call(method="PUT", path=f"{_key_path(id)}/limits", body=body, read=read_one(KeyDescription))


def rotate_key(id: str, overlap: timedelta | None) -> Call[NewKeyDescription]:
    body = {} if overlap is None else {"overlap_seconds": int(overlap.total_seconds())}
    return Call(method="POST", path=f"{_key_path(id)}/rotate", body=body, read=read_one(NewKeyDescription))


def revoke_key(id: str) -> Call[KeyDescription]:
    return Call(method="POST", path=f"{_key_path(id)}/revoke", body={}, read=read_one(KeyDescription))


def _key_path(id: str) -> str:
    return f"/llmos/v1/keys/{quote(id, safe='')}"


# Users


def create_user(name: str, role: str, project: str, password: str | None) -> Call[UserDescription]:
    body = {"name": name, "role": role, "project": project} | ({} if password is None else {"password": password})
    return Call(method="POST", path="/llmos/v1/users", body=body, read=read_one(UserDescription))


def list_users(project: str | None) -> Call[list[UserDescription]]:
    query = "" if project is None else f"?{urlencode({'project': project})}"
    return Call(method="GET", path=f"/llmos/v1/users{query}", read=read_each(UserDescription))


def get_user(name: str) -> Call[UserDescription]:
    return Call(method="GET", path=_user_path(name), read=read_one(UserDescription))


def set_user_password(name: str, password: str) -> Call[UserDescription]:
    body = {"password": password}
    return Call(method="PUT", path=f"{_user_path(name)}/password", body=body, read=read_one(UserDescription))


def set_user_role(name: str, role: str, project: str | None) -> Call[UserDescription]:
    body = {"role": role} | ({} if project is None else {"project": project})
    return Call(method="PUT", path=f"{_user_path(name)}/role", body=body, read=read_one(UserDescription))


def disable_user(name: str) -> Call[UserDescription]:
    return Call(method="POST", path=f"{_user_path(name)}/disable", body={}, read=read_one(UserDescription))


def enable_user(name: str) -> Call[UserDescription]:
    return Call(method="POST", path=f"{_user_path(name)}/enable", body={}, read=read_one(UserDescription))


def sign_user_out(name: str) -> Call[SignedOutDescription]:
    return Call(method="POST", path=f"{_user_path(name)}/sign-out", body={}, read=read_one(SignedOutDescription))


def create_sign_in_link(name: str) -> Call[SignInLinkDescription]:
    return Call(method="POST", path=f"{_user_path(name)}/sign-in-link", body={}, read=read_one(SignInLinkDescription))


def remove_user(name: str) -> Call[None]:
    return Call(method="DELETE", path=_user_path(name), read=read_nothing)


def _user_path(name: str) -> str:
    return f"/llmos/v1/users/{quote(name, safe='')}"


# Guardrail policies


def set_guardrail_policy(name: str, document: Mapping[str, Any]) -> Call[GuardrailPolicyDescription]:
    body = dict(document)
    return Call(method="PUT", path=_guardrail_path(name), body=body, read=read_one(GuardrailPolicyDescription))


def list_guardrail_policies() -> Call[list[GuardrailPolicyDescription]]:
    return Call(method="GET", path="/llmos/v1/guardrails", read=read_each(GuardrailPolicyDescription))


def get_guardrail_policy(name: str, version: int | None) -> Call[GuardrailPolicyDescription]:
    query = "" if version is None else f"?version={version}"
    return Call(method="GET", path=f"{_guardrail_path(name)}{query}", read=read_one(GuardrailPolicyDescription))


def guardrail_policy_history(name: str) -> Call[list[GuardrailPolicyDescription]]:
    return Call(method="GET", path=f"{_guardrail_path(name)}/history", read=read_each(GuardrailPolicyDescription))


def try_guardrail_policy(name: str, text: str, side: str, document: Mapping[str, Any] | None) -> Call[GuardrailTrial]:
    body = {"text": text, "side": side, **({} if document is None else {"document": document})}
    return Call(method="POST", path=f"{_guardrail_path(name)}/try", body=body, read=read_one(GuardrailTrial))


def list_roles() -> Call[list[RoleDescription]]:
    return Call(method="GET", path="/llmos/v1/roles", read=read_each(RoleDescription))


def remove_guardrail_policy(name: str) -> Call[None]:
    return Call(method="DELETE", path=_guardrail_path(name), read=read_nothing)


def apply_guardrail_policy(name: str, place: tuple[str, str]) -> Call[GuardrailPolicyDescription]:
    path, body = f"{_guardrail_path(name)}/apply", dict(zip(("scope", "target"), place, strict=True))
    return Call(method="POST", path=path, body=body, read=read_one(GuardrailPolicyDescription))


def unapply_guardrail_policy(name: str, place: tuple[str, str]) -> Call[GuardrailPolicyDescription]:
    path, body = f"{_guardrail_path(name)}/unapply", dict(zip(("scope", "target"), place, strict=True))
    return Call(method="POST", path=path, body=body, read=read_one(GuardrailPolicyDescription))


def _guardrail_path(name: str) -> str:
    return f"/llmos/v1/guardrails/{quote(name, safe='')}"


# The audit log, and receipts


def list_audit_entries(
    since: datetime | None, actor: str | None, action: str | None, before: int | None, limit: int
) -> Call[list[AuditEntryDescription]]:
    if since is not None and since.tzinfo is None:
        since = since.astimezone()
    given = {"since": since and since.isoformat(), "actor": actor, "action": action, "before": before, "limit": limit}
    query = urlencode({name: value for name, value in given.items() if value is not None})
    return Call(method="GET", path=f"/llmos/v1/audit?{query}", read=read_each(AuditEntryDescription))


def verify_audit_log(checkpoints: Sequence[Mapping[str, Any]]) -> Call[AuditVerification]:
    body = {"checkpoints": [dict(each) for each in checkpoints]}
    return Call(method="POST", path="/llmos/v1/audit/verify", body=body, read=read_one(AuditVerification))


def make_checkpoint() -> Call[CheckpointDescription]:
    return Call(method="POST", path="/llmos/v1/audit/checkpoint", body={}, read=read_one(CheckpointDescription))


def get_receipt(id: str) -> Call[ReceiptDescription]:
    return Call(method="GET", path=f"/llmos/v1/answers/{quote(id, safe='')}/receipt", read=read_one(ReceiptDescription))


def get_signing_key() -> Call[SigningKeyDescription]:
    return Call(method="GET", path="/llmos/v1/signing-key", read=read_one(SigningKeyDescription))
