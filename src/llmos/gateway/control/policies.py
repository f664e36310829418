"""/llmos/v1/policies: what the project requires of the Versions that it runs."""

import asyncio

import msgspec
from fastapi import APIRouter, Request, Response

from llmos.core.schemas.policies import PolicyDescription
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import RequestObject, parse_body
from llmos.gateway.services import services_of
from llmos.models.descriptions import describe_policy
from llmos.models.policies import Policies
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/policies", tags=["policies"])


class PolicyDescriptions(msgspec.Struct):
    data: list[PolicyDescription]


class PolicyValue(RequestObject, kw_only=True):
    value: bool | float | str
    """Also as the command line takes it: "on", "5%"."""


@router.get("", summary="List the policies that are set", responses=openapi.answers(PolicyDescriptions))
@requires(Permission.POLICIES_READ)
async def list_policies(request: Request) -> Response:
    policies = await asyncio.to_thread(_policies(request).list)
    return json_response(PolicyDescriptions([describe_policy(policy) for policy in policies]))


@router.put(
    "/{name}",
    summary="Set a policy",
    openapi_extra=openapi.body(PolicyValue, {"value": True}),
    responses=openapi.answers(PolicyDescription),
)
@requires(Permission.POLICIES_WRITE, "policy.set")
async def set_policy(request: Request, name: str) -> Response:
    body, actor = await parse_body(request, PolicyValue), caller_of(request).actor
    policy = await asyncio.to_thread(lambda: _policies(request).set(name, body.value, actor=actor))
    return json_response(describe_policy(policy))


@router.delete("/{name}", summary="Unset a policy", status_code=204)
@requires(Permission.POLICIES_WRITE, "policy.remove")
async def unset_policy(request: Request, name: str) -> Response:
    await asyncio.to_thread(_policies(request).unset, name)
    return Response(status_code=204)


def _policies(request: Request) -> Policies:
    return Policies(services_of(request).registry.database)
