"""The calls of the control plane, noun by noun: what each sends and how its reply is read."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, TypedDict
from urllib.parse import quote, urlencode

from llmos.client.answers import DeploymentInfo, ModelInfo, RouteInfo
from llmos.client.call import Call, json_object, read_as, read_each, read_nothing, read_one
from llmos.client.naming_calls import MODELS, name_path
from llmos.core.schemas.audit import AuditEntryDescription, AuditVerification, CheckpointDescription
from llmos.core.schemas.budgets import BudgetDescription, BudgetFields
from llmos.core.schemas.cards import CardDescription
from llmos.core.schemas.deployments import DeploymentEventDescription
from llmos.core.schemas.encryption import EncryptionDescription, RotationDescription
from llmos.core.schemas.erasures import ErasureCertificate
from llmos.core.schemas.fit import FitDescription
from llmos.core.schemas.guardrails import GuardrailPolicyDescription, GuardrailTrial
from llmos.core.schemas.jobs import JobDescription
from llmos.core.schemas.keys import KeyDescription, NewKeyDescription
from llmos.core.schemas.models import CatalogEntryDescription, RemovalDescription, VersionDetails
from llmos.core.schemas.policies import PolicyDescription
from llmos.core.schemas.prices import PriceBookDescription, PriceExample
from llmos.core.schemas.projects import ProjectDescription
from llmos.core.schemas.providers import ProviderDescription, ProviderModels
from llmos.core.schemas.receipts import ReceiptDescription
from llmos.core.schemas.rollouts import RolloutDescription, RolloutEventDescription
from llmos.core.schemas.routes import RouteEvidence, RouteMove
from llmos.core.schemas.signatures import SignatureDescription
from llmos.core.schemas.signing_keys import SigningKeyDescription
from llmos.core.schemas.usage import UsageReport
from llmos.core.schemas.users import RoleDescription, SignedOutDescription, SignInLinkDescription, UserDescription

# Models


def list_models(tags: Sequence[str]) -> Call[list[ModelInfo]]:
    query = f"?{urlencode([('tag', tag) for tag in tags])}" if tags else ""
    return Call(method="GET", path=f"/llmos/v1/models{query}", read=read_each(ModelInfo))


def get_model(name: str) -> Call[ModelInfo]:
    def read(body: Any) -> ModelInfo:
        return read_as(ModelInfo, {**json_object(body), "name": name})

    return Call(method="GET", path=_model_path(name), read=read)


def get_details(name: str) -> Call[VersionDetails]:
    return Call(method="GET", path=f"{_model_path(name)}/details", read=read_one(VersionDetails))


def remove_model(name: str) -> Call[RemovalDescription]:
    return Call(method="DELETE", path=_model_path(name), read=read_one(RemovalDescription))


def list_catalog() -> Call[list[CatalogEntryDescription]]:
    return Call(method="GET", path="/llmos/v1/catalog", read=read_each(CatalogEntryDescription))


def get_card(name: str) -> Call[CardDescription]:
    return Call(method="GET", path=f"{_model_path(name)}/card", read=read_one(CardDescription))


def get_related_cards(name: str) -> Call[list[CardDescription]]:
    return Call(method="GET", path=f"{_model_path(name)}/card/related", read=read_each(CardDescription))


def get_fit(name: str, context: int | None, streams: int | None) -> Call[FitDescription]:
    given = {"context": context, "streams": streams}
    query = urlencode({key: value for key, value in given.items() if value is not None})
    return Call(method="GET", path=f"{_model_path(name)}/fit{query and '?'}{query}", read=read_one(FitDescription))


def _model_path(name: str) -> str:
    return name_path(MODELS, name)


# Jobs


def start_job(kind: str, fields: Mapping[str, Any]) -> Call[JobDescription]:
    body = {"kind": kind, **{name: value for name, value in fields.items() if value is not None}}
    return Call(method="POST", path="/llmos/v1/jobs", body=body, read=read_one(JobDescription))


def list_jobs(kind: str | None, state: str | None) -> Call[list[JobDescription]]:
    query = urlencode({name: value for name, value in (("kind", kind), ("state", state)) if value is not None})
    return Call(method="GET", path=f"/llmos/v1/jobs{'?' * bool(query)}{query}", read=read_each(JobDescription))


def get_job(id: str) -> Call[JobDescription]:
    return Call(method="GET", path=_job_path(id), read=read_one(JobDescription))


def cancel_job(id: str) -> Call[JobDescription]:
    return Call(method="POST", path=f"{_job_path(id)}/cancel", body={}, read=read_one(JobDescription))


def _job_path(id: str) -> str:
    return f"/llmos/v1/jobs/{quote(id, safe='')}"


# Policies


def list_policies() -> Call[list[PolicyDescription]]:
    return Call(method="GET", path="/llmos/v1/policies", read=read_each(PolicyDescription))


def set_policy(name: str, value: bool | float | str) -> Call[PolicyDescription]:
    return Call(method="PUT", path=_policy_path(name), body={"value": value}, read=read_one(PolicyDescription))


def unset_policy(name: str) -> Call[None]:
    return Call(method="DELETE", path=_policy_path(name), read=read_nothing)


def _policy_path(name: str) -> str:
    return f"/llmos/v1/policies/{quote(name, safe='')}"


# Signatures


def list_signatures(name: str) -> Call[list[SignatureDescription]]:
    return Call(method="GET", path=f"{_model_path(name)}/signatures", read=read_each(SignatureDescription))


def add_signature(name: str, signature: str) -> Call[list[SignatureDescription]]:
    body = {"signature": signature}
    return Call(method="POST", path=f"{_model_path(name)}/signatures", body=body, read=read_each(SignatureDescription))


# Routes


class RouteSettings(TypedDict, total=False):
    """The settings of a Route besides its targets. One that is left out gets its default."""

    fallbacks: Sequence[str]
    """Tried in this order when a target fails before its first token."""
    shadow: Mapping[str, Any]
    """{"target", "percent"}: also runs a share of the calls, to compare."""
    sticky: Literal["user", "caller", "none"]
    """Calls with the same `user`, or of the same caller, always go to the same target."""
    timeout_seconds: float
    """The limit for the first token, or for a whole answer that isn't streamed."""
    cache: bool
    """Give the same answer again to the same request of a project: at temperature 0, or with a seed."""
    reason: str
    """Why, for the history."""


def list_routes() -> Call[list[RouteInfo]]:
    return Call(method="GET", path="/llmos/v1/routes", read=read_each(RouteInfo))


def get_route(name: str) -> Call[RouteInfo]:
    return Call(method="GET", path=_route_path(name), read=read_one(RouteInfo))


def set_route(name: str, target: str | Mapping[str, float], settings: RouteSettings) -> Call[RouteInfo]:
    given = _given(settings, RouteSettings, "a route")
    targets = {"target": target} if isinstance(target, str) else {"targets": _weights(target)}
    return Call(method="PUT", path=_route_path(name), body={**targets, **given}, read=read_one(RouteInfo))


def set_weights(name: str, percent_of: Mapping[str, float], reason: str) -> Call[RouteInfo]:
    body = {"targets": _weights(percent_of), "reason": reason}
    return Call(method="PUT", path=f"{_route_path(name)}/weights", body=body, read=read_one(RouteInfo))


def route_history(name: str) -> Call[list[RouteMove]]:
    return Call(method="GET", path=f"{_route_path(name)}/history", read=read_each(RouteMove))


def route_evidence(name: str) -> Call[RouteEvidence]:
    return Call(method="GET", path=f"{_route_path(name)}/evidence", read=read_one(RouteEvidence))


def remove_route(name: str) -> Call[None]:
    return Call(method="DELETE", path=_route_path(name), read=read_nothing)


def _route_path(name: str) -> str:
    return f"/llmos/v1/routes/{quote(name, safe='')}"


def _weights(percent_of: Mapping[str, float]) -> list[dict[str, Any]]:
    return [{"target": target, "percent": percent} for target, percent in percent_of.items()]


def _given(settings: Mapping[str, Any], kind: type, whose: str) -> dict[str, Any]:
    """Return the settings that aren't None. Raises TypeError for an unknown one."""
    given = {key: value for key, value in settings.items() if value is not None}
    known = kind.__annotations__
    if unknown := given.keys() - known.keys():
        raise TypeError(f"There is no setting {min(unknown)!r} of {whose}. Settings: {', '.join(known)}.")
    return given


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
    body = _given(limits, Limits, "A project")
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
    """By default that of the key that asks."""
    name: str
    """Whose it is or what it is for."""
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
    body: dict[str, Any] = _given(settings, KeySettings, "A key")
    if (expires_at := settings.get("expires_at")) is not None:
        body["expires_at"] = expires_at.isoformat()
    return Call(method="POST", path="/llmos/v1/keys", body=body, read=read_one(NewKeyDescription))


def list_keys(project: str | None) -> Call[list[KeyDescription]]:
    query = "" if project is None else f"?{urlencode({'project': project})}"
    return Call(method="GET", path=f"/llmos/v1/keys{query}", read=read_each(KeyDescription))


def get_key(id: str) -> Call[KeyDescription]:
    return Call(method="GET", path=_key_path(id), read=read_one(KeyDescription))


def limit_key(id: str, limits: Limits) -> Call[KeyDescription]:
    body = _given(limits, Limits, "A key")
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


# Rollouts


class RolloutSettings(TypedDict, total=False):
    """The settings of a Rollout. One that is left out gets the server's default."""

    steps: Sequence[float]
    """Percents of the calls, rising to 100."""
    gate: str
    """The condition of each step, such as "error_rate <= 1% and p95_first_token <= 1.5x"."""
    min_calls: int
    """The calls that each step needs before it is judged."""
    max_hold_seconds: int
    """A step that can't be judged within this time is rolled back."""
    cases: Sequence[Mapping[str, Any]]
    """Prompts with what a right answer contains, for the gate's score."""
    force: bool
    """Promote it even if its card fails a limit."""


def promote(version: str, route: str, settings: RolloutSettings) -> Call[RolloutDescription]:
    body = {"version": version, "route": route, **_given(settings, RolloutSettings, "a rollout")}
    return Call(method="POST", path="/llmos/v1/rollouts", body=body, read=read_one(RolloutDescription))


def list_rollouts(route: str | None) -> Call[list[RolloutDescription]]:
    query = "" if route is None else f"?route={quote(route, safe='')}"
    return Call(method="GET", path=f"/llmos/v1/rollouts{query}", read=read_each(RolloutDescription))


def get_rollout(id: int) -> Call[RolloutDescription]:
    return Call(method="GET", path=f"/llmos/v1/rollouts/{id}", read=read_one(RolloutDescription))


def rollout_history(id: int) -> Call[list[RolloutEventDescription]]:
    return Call(method="GET", path=f"/llmos/v1/rollouts/{id}/history", read=read_each(RolloutEventDescription))


def roll_back(route: str) -> Call[RolloutDescription]:
    return Call(method="DELETE", path=f"{_route_path(route)}/rollout", read=read_one(RolloutDescription))


# Providers


def list_providers() -> Call[list[ProviderDescription]]:
    return Call(method="GET", path="/llmos/v1/providers", read=read_each(ProviderDescription))


def add_provider(name: str, kind: str, base_url: str, key: str | None) -> Call[ProviderDescription]:
    body = {"kind": kind, "base_url": base_url} | ({} if key is None else {"key": key})
    return Call(method="PUT", path=_provider_path(name), body=body, read=read_one(ProviderDescription))


def provider_models(name: str) -> Call[list[str]]:
    def read(body: Any) -> list[str]:
        return read_as(ProviderModels, json_object(body)).models

    return Call(method="GET", path=f"{_provider_path(name)}/models", read=read)


def remove_provider(name: str) -> Call[None]:
    return Call(method="DELETE", path=_provider_path(name), read=read_nothing)


def _provider_path(name: str) -> str:
    return f"/llmos/v1/providers/{quote(name, safe='')}"


# The audit log, and receipts


def list_audit_entries(
    since: datetime | None, actor: str | None, action: str | None, before: int | None, limit: int
) -> Call[list[AuditEntryDescription]]:
    if since is not None and since.tzinfo is None:
        since = since.astimezone()
    given = {"since": since and since.isoformat(), "actor": actor, "action": action, "before": before, "limit": limit}
    query = urlencode({name: value for name, value in given.items() if value is not None})
    return Call(method="GET", path=f"/llmos/v1/audit?{query}", read=read_each(AuditEntryDescription))


def get_usage(by: str, start: datetime | None, end: datetime | None) -> Call[UsageReport]:
    given = {"by": by} | {name: _instant(each) for name, each in (("from", start), ("to", end)) if each is not None}
    return Call(method="GET", path=f"/llmos/v1/usage?{urlencode(given)}", read=read_one(UsageReport))


def set_budget(name: str, fields: BudgetFields) -> Call[BudgetDescription]:
    return Call(method="PUT", path=_budget_path(name), body=dict(fields), read=read_one(BudgetDescription))


def list_budgets() -> Call[list[BudgetDescription]]:
    return Call(method="GET", path="/llmos/v1/budgets", read=read_each(BudgetDescription))


def get_budget(name: str, user: str | None) -> Call[BudgetDescription]:
    query = "" if user is None else f"?{urlencode({'user': user})}"
    return Call(method="GET", path=_budget_path(name) + query, read=read_one(BudgetDescription))


def remove_budget(name: str) -> Call[None]:
    return Call(method="DELETE", path=_budget_path(name), read=read_nothing)


def _budget_path(name: str) -> str:
    return f"/llmos/v1/budgets/{quote(name, safe='')}"


def set_prices(document: Mapping[str, Any]) -> Call[PriceBookDescription]:
    return Call(method="POST", path="/llmos/v1/prices", body=dict(document), read=read_one(PriceBookDescription))


def list_prices() -> Call[list[PriceBookDescription]]:
    return Call(method="GET", path="/llmos/v1/prices", read=read_each(PriceBookDescription))


def get_prices(version: int) -> Call[PriceBookDescription]:
    return Call(method="GET", path=f"/llmos/v1/prices/{version}", read=read_one(PriceBookDescription))


def try_prices(version: str, route: str, numbers: Mapping[str, int]) -> Call[PriceExample]:
    body = {"version": version, "route": route, **numbers}
    return Call(method="POST", path="/llmos/v1/prices/try", body=body, read=read_one(PriceExample))


def _instant(moment: datetime) -> str:
    return (moment.astimezone() if moment.tzinfo is None else moment).isoformat()


def verify_audit_log(checkpoints: Sequence[Mapping[str, Any]]) -> Call[AuditVerification]:
    body = {"checkpoints": [dict(each) for each in checkpoints]}
    return Call(method="POST", path="/llmos/v1/audit/verify", body=body, read=read_one(AuditVerification))


def make_checkpoint() -> Call[CheckpointDescription]:
    return Call(method="POST", path="/llmos/v1/audit/checkpoint", body={}, read=read_one(CheckpointDescription))


def get_receipt(id: str) -> Call[ReceiptDescription]:
    return Call(method="GET", path=f"/llmos/v1/answers/{quote(id, safe='')}/receipt", read=read_one(ReceiptDescription))


def get_signing_key() -> Call[SigningKeyDescription]:
    return Call(method="GET", path="/llmos/v1/signing-key", read=read_one(SigningKeyDescription))


# Deployments


class DeploymentSettings(TypedDict, total=False):
    """The settings of a Deployment. A setting that is left out gets the server's default."""

    replicas: int
    """A fixed number; or use min_replicas and max_replicas."""
    min_replicas: int
    max_replicas: int
    idle_seconds: int
    """Unload it after this long without a request."""
    keep_warm: bool
    """Never unload it."""
    options: dict[str, Any]
    """Engine options that differ from the server's."""
    force: bool
    """Deploy it even if its card fails a limit."""


def list_deployments() -> Call[list[DeploymentInfo]]:
    return Call(method="GET", path="/llmos/v1/deployments", read=read_each(DeploymentInfo))


def get_deployment(name: str) -> Call[DeploymentInfo]:
    return Call(method="GET", path=_deployment_path(name), read=read_one(DeploymentInfo))


def deploy(name: str, settings: DeploymentSettings) -> Call[DeploymentInfo]:
    return Call(method="PUT", path=_deployment_path(name), body=dict(settings), read=read_one(DeploymentInfo))


def change_deployment(
    name: str, verb: Literal["scale", "sleep", "wake"], body: Mapping[str, Any] | None = None
) -> Call[DeploymentInfo]:
    return Call(method="POST", path=f"{_deployment_path(name)}/{verb}", body=body or {}, read=read_one(DeploymentInfo))


def remove_deployment(name: str) -> Call[None]:
    return Call(method="DELETE", path=_deployment_path(name), read=read_nothing)


def deployment_history(name: str) -> Call[list[DeploymentEventDescription]]:
    return Call(method="GET", path=f"{_deployment_path(name)}/history", read=read_each(DeploymentEventDescription))


def _deployment_path(name: str) -> str:
    return f"/llmos/v1/deployments/{quote(name, safe='@:')}"
