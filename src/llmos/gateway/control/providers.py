"""/llmos/v1/providers: services that run models elsewhere. No endpoint returns a provider's key."""

import asyncio

import msgspec
from fastapi import APIRouter, Request, Response

from llmos.core.schemas.providers import ProviderDescription, ProviderModels
from llmos.deployments.descriptions import describe_provider
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import json_response
from llmos.gateway.http.requests import RequestObject, parse_body
from llmos.gateway.services import services_of
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/providers", tags=["providers"])


class ProviderRequest(RequestObject, kw_only=True):
    kind: str = "openai"
    """The wire format: openai, anthropic or open-inference."""
    base_url: str
    """Before /chat/completions, /messages or /v2, such as https://api.openai.com/v1 or http://triton:8000."""
    key: str | None = None
    """Stored encrypted. Without a key, none is sent."""
    text_input: str | None = None
    """open-inference: the input for texts, where a model's description doesn't show which it is."""
    text_output: str | None = None


class ProviderDescriptions(msgspec.Struct):
    data: list[ProviderDescription]


@router.get("", summary="List the providers", responses=openapi.answers(ProviderDescriptions))
@requires(Permission.PROVIDERS_READ)
async def list_providers(request: Request) -> Response:
    providers = await asyncio.to_thread(services_of(request).providers.list)
    return json_response(ProviderDescriptions([describe_provider(each) for each in providers]))


@router.get("/{name}", summary="Describe a provider", responses=openapi.answers(ProviderDescription))
@requires(Permission.PROVIDERS_READ)
async def get_provider(request: Request, name: str) -> Response:
    return json_response(describe_provider(await asyncio.to_thread(services_of(request).providers.get, name)))


@router.put(
    "/{name}",
    summary="Add a provider, or change one",
    openapi_extra=openapi.body(
        ProviderRequest, {"kind": "openai", "base_url": "https://api.openai.com/v1", "key": "the provider's key"}
    ),
    responses=openapi.answers(ProviderDescription),
)
@requires(Permission.PROVIDERS_WRITE, "provider.set")
async def put_provider(request: Request, name: str) -> Response:
    """Routes may then have the target `remote:NAME/MODEL`."""
    body = await parse_body(request, ProviderRequest)
    provider = await asyncio.to_thread(
        services_of(request).providers.add,
        name,
        kind=body.kind,
        base_url=body.base_url,
        key=body.key,
        text_input=body.text_input,
        text_output=body.text_output,
    )
    return json_response(describe_provider(provider))


@router.get("/{name}/models", summary="List a provider's models", responses=openapi.answers(ProviderModels))
@requires(Permission.PROVIDERS_READ)
async def list_provider_models(request: Request, name: str) -> Response:
    services = services_of(request)
    provider = await asyncio.to_thread(services.providers.get, name)
    return json_response(ProviderModels(name=name, models=await services.provider_clients.models(provider)))


@router.delete("/{name}", summary="Remove a provider and its key", status_code=204)
@requires(Permission.PROVIDERS_WRITE, "provider.remove")
async def remove_provider(request: Request, name: str) -> Response:
    """409 while a Route has a target at it."""
    await asyncio.to_thread(services_of(request).providers.remove, name)
    return Response(status_code=204)
