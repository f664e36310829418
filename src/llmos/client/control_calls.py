"""The requests of models, jobs, policies and signatures."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from llmos.client.answers import ModelInfo
from llmos.client.call import Call, json_object, read_as, read_each, read_nothing, read_one
from llmos.client.naming_calls import MODELS, name_path
from llmos.core.schemas.cards import CardDescription
from llmos.core.schemas.fit import FitDescription
from llmos.core.schemas.jobs import JobDescription
from llmos.core.schemas.models import CatalogEntryDescription, RemovalDescription, VersionDetails
from llmos.core.schemas.policies import PolicyDescription
from llmos.core.schemas.signatures import SignatureDescription

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
