"""The schemas of /openapi.json. Endpoints decode with msgspec, so FastAPI can't derive them: each names its own."""

from collections.abc import Iterable
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from llmos import __version__
from llmos.core.schemas.base import Description
from llmos.gateway.http.open_paths import is_open

_REF = "#/components/schemas/{name}"
_types: dict[str, type] = {}
"""All types that endpoints refer to, by name."""


class ErrorDetail(msgspec.Struct):
    message: str
    """The cause, and what to do about it."""
    type: str
    code: str
    param: str | None
    """The field of the request that is wrong, or null."""


class ErrorBody(msgspec.Struct):
    error: ErrorDetail


def body(kind: type, example: dict[str, Any]) -> dict[str, Any]:
    """Return the `openapi_extra` of an endpoint whose request body is a `kind`."""
    return _body(_schema(kind), example)


def body_of_kinds(kinds: Iterable[type], example: dict[str, Any]) -> dict[str, Any]:
    """Return the `openapi_extra` of an endpoint whose request body is one of several kinds."""
    return _body({"oneOf": [_schema(kind) for kind in kinds]}, example)


def _body(schema: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema, "example": example}}}}


def answers(
    kind: type, event: type | None = None, stream_type: str = "text/event-stream"
) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of an endpoint that returns a `kind`, or streams events of the type `event`."""
    content = {"application/json": {"schema": _schema(kind)}}
    if event is not None:
        content[stream_type] = {"schema": _schema(event)}
    error = {"description": "The error", "content": {"application/json": {"schema": _schema(ErrorBody)}}}
    return {200: {"description": "The answer", "content": content}, "4XX": error, "5XX": error}


def install(app: FastAPI) -> None:
    """Make app.openapi() include the schemas that endpoints refer to, and the API key that they require."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _schema(kind: type) -> dict[str, Any]:
    _types[kind.__name__] = kind
    return {"$ref": _REF.format(name=kind.__name__)}


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(title="LLMOS", version=__version__, description=app.description, routes=app.routes)
    _, schemas = msgspec.json.schema_components(list(_types.values()), ref_template=_REF)
    for name in _names_of_descriptions(Description) & schemas.keys():
        schemas[name]["required"] = list(schemas[name]["properties"])  # The server sends every field.
    components = document.setdefault("components", {})
    components.setdefault("schemas", {}).update(schemas)
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"key": []}]
    for path, operations in document["paths"].items():
        if is_open(path):
            for operation in operations.values():
                operation["security"] = []
    return document


def _names_of_descriptions(kind: type[Description]) -> set[str]:
    return {kind.__name__}.union(*(_names_of_descriptions(each) for each in kind.__subclasses__()))
