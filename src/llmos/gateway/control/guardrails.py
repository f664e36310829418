"""/llmos/v1/guardrails: policies of guardrails, and whose calls they screen."""

import asyncio
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Request, Response

from llmos.core.schemas.guardrails import GuardrailPolicyDescription, GuardrailTrial
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import RequestObject, parse_body, parse_query
from llmos.gateway.services import services_of
from llmos.security.descriptions import describe_guardrail_policy
from llmos.security.guardrails.files import Case
from llmos.security.guardrails.policy import open_policy
from llmos.security.guardrails.trial import try_case
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/guardrails", tags=["guardrails"])


class GuardrailPolicyRequest(RequestObject, kw_only=True):
    """Each entry has a `guardrail`, may have an `action`, a `budget_ms` and a `fail_closed`, and has the options of its
    guardrail."""

    input: list[dict[str, Any]] = msgspec.field(default_factory=list)
    """The guardrails that screen the prompt, in this order."""
    output: list[dict[str, Any]] = msgspec.field(default_factory=list)
    """The guardrails that screen the answer."""
    both: list[dict[str, Any]] = msgspec.field(default_factory=list)
    """The guardrails that screen both, after those."""


class TrialRequest(RequestObject, kw_only=True):
    text: Annotated[str, msgspec.Meta(max_length=100_000)]
    side: Literal["input", "output"] = "input"
    """Screen the text as a prompt or as an answer."""
    document: dict[str, Any] | None = None
    """A policy that isn't stored, with `input`, `output` and `both`. Default: the last version of the stored one."""


class PlaceRequest(RequestObject, kw_only=True):
    scope: Literal["installation", "project", "route"]
    target: Annotated[str, msgspec.Meta(max_length=256)] = ""
    """The project or the route. None for the installation."""


class VersionQuery(RequestObject, kw_only=True):
    version: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)] | None = None


class GuardrailPolicyDescriptions(msgspec.Struct):
    data: list[GuardrailPolicyDescription]


_EXAMPLE = {"both": [{"guardrail": "max_length", "characters": 100_000}]}


@router.get("", summary="List the guardrail policies", responses=openapi.answers(GuardrailPolicyDescriptions))
@requires(Permission.GUARDRAILS_READ)
async def list_guardrail_policies(request: Request) -> Response:
    policies = await asyncio.to_thread(services_of(request).guardrails.list)
    return json_response(GuardrailPolicyDescriptions([describe_guardrail_policy(each) for each in policies]))


@router.get(
    "/{name}",
    summary="Describe a guardrail policy",
    openapi_extra=openapi.query(VersionQuery),
    responses=openapi.answers(GuardrailPolicyDescription),
)
@requires(Permission.GUARDRAILS_READ)
async def get_guardrail_policy(request: Request, name: str) -> Response:
    """Its last version, or another one."""
    version = parse_query(request, VersionQuery).version
    policy = await asyncio.to_thread(services_of(request).guardrails.get, name, version)
    return json_response(describe_guardrail_policy(policy))


@router.get(
    "/{name}/history",
    summary="List the versions of a guardrail policy",
    responses=openapi.answers(GuardrailPolicyDescriptions),
)
@requires(Permission.GUARDRAILS_READ)
async def guardrail_policy_history(request: Request, name: str) -> Response:
    policies = await asyncio.to_thread(services_of(request).guardrails.history, name)
    return json_response(GuardrailPolicyDescriptions([describe_guardrail_policy(each) for each in policies]))


@router.put(
    "/{name}",
    summary="Set a guardrail policy",
    openapi_extra=openapi.body(GuardrailPolicyRequest, _EXAMPLE),
    responses=openapi.answers(GuardrailPolicyDescription),
)
@requires(Permission.GUARDRAILS_WRITE, "guardrail.set")
async def set_guardrail_policy(request: Request, name: str) -> Response:
    """Stores a new version, unless the last one is the same. It screens the calls that begin from now."""
    body, actor = await parse_body(request, GuardrailPolicyRequest), caller_of(request).actor
    document = {side: entries for side, entries in msgspec.structs.asdict(body).items() if entries}
    guardrails = services_of(request).guardrails
    policy = await asyncio.to_thread(lambda: guardrails.set(name, document, actor=actor))
    return json_response(describe_guardrail_policy(policy))


@router.post(
    "/{name}/try",
    summary="Try a guardrail policy on a text",
    openapi_extra=openapi.body(TrialRequest, {"text": "Mail me at ann@example.com", "side": "input"}),
    responses=openapi.answers(GuardrailTrial),
)
@requires(Permission.GUARDRAILS_READ)
async def try_guardrail_policy(request: Request, name: str) -> Response:
    """The verdict, what was found, and the text that is let pass. Nothing is asked of a model, and nothing is kept."""
    body, guardrails = await parse_body(request, TrialRequest), services_of(request).guardrails

    def try_out() -> GuardrailTrial:
        if body.document is None:
            stored = guardrails.get(name)
            policy = open_policy(stored.name, stored.version, stored.document)
        else:
            policy = open_policy(name, 0, body.document)
        result = try_case(policy, Case(number=1, text=body.text, side=body.side, expect=None))
        return GuardrailTrial(
            policy=policy.ref,
            side=result.side,
            verdict=result.verdict,
            found=result.found,
            text=result.text,
        )

    return json_response(await asyncio.to_thread(try_out))


@router.post(
    "/{name}/apply",
    summary="Apply a guardrail policy",
    openapi_extra=openapi.body(PlaceRequest, {"scope": "route", "target": "dialogue"}),
    responses=openapi.answers(GuardrailPolicyDescription),
)
@requires(Permission.GUARDRAILS_WRITE, "guardrail.apply")
async def apply_guardrail_policy(request: Request, name: str) -> Response:
    """Makes it screen the calls of a route or of a project, or all calls. 404 for one that there isn't."""
    body, actor = await parse_body(request, PlaceRequest), caller_of(request).actor
    guardrails = services_of(request).guardrails
    policy = await asyncio.to_thread(lambda: guardrails.apply(name, body.scope, body.target, actor=actor))
    return json_response(describe_guardrail_policy(policy))


@router.post(
    "/{name}/unapply",
    summary="Stop applying a guardrail policy",
    openapi_extra=openapi.body(PlaceRequest, {"scope": "route", "target": "dialogue"}),
    responses=openapi.answers(GuardrailPolicyDescription),
)
@requires(Permission.GUARDRAILS_WRITE, "guardrail.unapply")
async def unapply_guardrail_policy(request: Request, name: str) -> Response:
    """404 if it doesn't apply there."""
    body = await parse_body(request, PlaceRequest)
    policy = await asyncio.to_thread(services_of(request).guardrails.unapply, name, body.scope, body.target)
    return json_response(describe_guardrail_policy(policy))


@router.delete("/{name}", summary="Remove a guardrail policy", status_code=204)
@requires(Permission.GUARDRAILS_WRITE, "guardrail.remove")
async def remove_guardrail_policy(request: Request, name: str) -> Response:
    """409 while it applies somewhere. The name stays taken."""
    guardrails, actor = services_of(request).guardrails, caller_of(request).actor
    await asyncio.to_thread(lambda: guardrails.remove(name, actor=actor))
    return Response(status_code=204)
