"""The schemas of /openapi.json. The hot routes decode with msgspec, so FastAPI can't derive them: we put them there."""

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from llmos import __version__
from llmos.gateway.http.door import OPEN_PATHS

_REF = "#/components/schemas/{name}"
_described: dict[str, type] = {}


class ErrorDetail(msgspec.Struct):
    message: str
    """What is wrong and what to do about it."""
    type: str
    code: str
    param: str | None
    """The field of the request that is wrong, where one is."""


class ErrorBody(msgspec.Struct):
    error: ErrorDetail


def body(kind: type, example: dict[str, Any]) -> dict[str, Any]:
    """The openapi_extra of a route that reads a `kind`."""
    content = {"application/json": {"schema": _schema(kind), "example": example}}
    return {"requestBody": {"required": True, "content": content}}


def answers(
    kind: type, event: type | None = None, stream_type: str = "text/event-stream"
) -> dict[int | str, dict[str, Any]]:
    """The responses of a route that gives a `kind`, or a stream of `event`."""
    content = {"application/json": {"schema": _schema(kind)}}
    if event is not None:
        content[stream_type] = {"schema": _schema(event)}
    error = {"description": "What is wrong", "content": {"application/json": {"schema": _schema(ErrorBody)}}}
    return {200: {"description": "The answer", "content": content}, "4XX": error, "5XX": error}


def install(app: FastAPI) -> None:
    """Make app.openapi() carry the schemas that the routes refer to, and the key that they ask for."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _schema(kind: type) -> dict[str, Any]:
    _described[kind.__name__] = kind
    return {"$ref": _REF.format(name=kind.__name__)}


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(title="LLMOS", version=__version__, description=app.description, routes=app.routes)
    _, schemas = msgspec.json.schema_components(list(_described.values()), ref_template=_REF)
    components = document.setdefault("components", {})
    components.setdefault("schemas", {}).update(schemas)
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"key": []}]
    for path, operations in document["paths"].items():
        if path.startswith(OPEN_PATHS):
            for operation in operations.values():
                operation["security"] = []
    return document
