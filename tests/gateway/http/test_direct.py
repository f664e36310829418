"""Endpoints that need nothing of FastAPI are called past it; all others go through it."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from llmos.gateway.app import _endpoints, endpoint_modules
from llmos.gateway.http.direct import direct_routes

router = APIRouter()


@router.post("/direct")
async def direct(request: Request) -> Response:
    return Response()


@router.get("/of/{name}")
async def with_path(request: Request, name: str) -> Response:
    return Response()


@router.get("/query")
async def with_query(request: Request, limit: int = 3) -> Response:
    return Response()


@router.get("/depends")
async def with_dependency(request: Request, caller: Annotated[str, Depends(lambda: "ada")]) -> Response:
    return Response()


@router.get("/value")
async def with_value(request: Request) -> dict[str, str]:
    return {}


@router.get("/more", dependencies=[Depends(lambda: "ada")])
async def with_more(request: Request) -> Response:
    return Response()


def test_an_endpoint_is_direct_if_it_takes_the_request_alone_and_returns_a_response() -> None:
    assert [*direct_routes(router.routes)] == [("POST", "/direct")]


def test_calls_of_models_are_direct() -> None:
    found = direct_routes(_endpoints(tuple(endpoint_modules())).state.flat_routes)
    paths = {"/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/messages", "/api/chat"}
    assert {("POST", path) for path in paths} <= found.keys()
