"""/llmos/v1/nodes: other machines that run replicas for this server."""

import asyncio
from functools import partial
from typing import Annotated

import msgspec
from fastapi import APIRouter, Request, Response
from msgspec import Meta

from llmos.core.schemas.nodes import NodeDescription, NodeTokenDescription
from llmos.deployments.cluster.nodes import MAX_TOKEN_MINUTES
from llmos.deployments.cluster.overview import create_token, describe_nodes
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import json_response
from llmos.gateway.http.requests import RequestObject, parse_body
from llmos.gateway.services import services_of
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/nodes", tags=["nodes"])


class NodeDescriptions(msgspec.Struct):
    data: list[NodeDescription]


class NodeTokenRequest(RequestObject, kw_only=True):
    minutes: Annotated[int, Meta(ge=1, le=MAX_TOKEN_MINUTES)] = 15
    """The time in which a node may join with it."""


@router.get("", summary="List the nodes", responses=openapi.answers(NodeDescriptions))
@requires(Permission.NODES_READ)
async def list_nodes(request: Request) -> Response:
    """Connected nodes are asked for their free memory, and their links are measured."""
    services = services_of(request)
    return json_response(NodeDescriptions([*await describe_nodes(services.nodes, services.cluster_head)]))


@router.post(
    "/tokens",
    summary="Make a token that one node may join with, once",
    openapi_extra=openapi.body(NodeTokenRequest, {"minutes": 15}),
    status_code=201,
    responses=openapi.answers(NodeTokenDescription, status=201),
)
@requires(Permission.NODES_WRITE, "node.token")
async def create_node_token(request: Request) -> Response:
    """The answer has the command for the other machine. No other answer has the token. The server's installation needs
    a cluster: `llmos cluster init`."""
    body, services = await parse_body(request, NodeTokenRequest), services_of(request)
    make = partial(create_token, services.nodes, services.settings.cluster_path, body.minutes)
    return json_response(await asyncio.to_thread(make), 201)


@router.delete("/{name}", summary="Remove a node from the cluster", status_code=204)
@requires(Permission.NODES_WRITE, "node.remove")
async def remove_node(request: Request, name: str) -> Response:
    """Its replicas finish their running requests and are replaced elsewhere. Its certificate isn't accepted again."""
    services = services_of(request)
    await asyncio.to_thread(services.nodes.remove, name)
    await services.cluster_head.check_members()
    return Response(status_code=204)
