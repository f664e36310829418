"""The schemas of /openapi.json. Endpoints decode with msgspec, so FastAPI can't derive them: each names its own."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from llmos import __version__
from llmos.core.schemas.base import Description
from llmos.gateway.http.error_formats import OPENAI, ErrorFormat
from llmos.gateway.http.open_paths import is_open
from llmos.gateway.http.requests import RequestObject

S = TypeVar("S", bound=msgspec.Struct)

_REF = "#/components/schemas/{name}"
_types: dict[str, type] = {}
"""All types that endpoints refer to, by name."""


def body(kind: type, example: dict[str, Any]) -> dict[str, Any]:
    """Return the `openapi_extra` of an endpoint whose request body is a `kind`."""
    return _body(_schema(kind), example)


def body_of_kinds(kinds: Iterable[type], example: dict[str, Any]) -> dict[str, Any]:
    """Return the `openapi_extra` of an endpoint whose request body is one of several kinds."""
    return _body({"oneOf": [_schema(kind) for kind in kinds]}, example)


def _body(schema: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema, "example": example}}}}


def query(kind: type[RequestObject]) -> dict[str, Any]:
    """Return the `openapi_extra` of an endpoint that reads its query string as a `kind`."""
    _, schemas = msgspec.json.schema_components([kind], ref_template=_REF)
    described = schemas[kind.__name__]
    required = described.get("required", ())
    fields = described["properties"].items()
    return {"parameters": [_parameter(name, field, required=name in required) for name, field in fields]}


def _parameter(name: str, schema: dict[str, Any], *, required: bool) -> dict[str, Any]:
    description = schema.get("description", "")
    schema = _without_null(schema)
    return {"name": name, "in": "query", "required": required, "description": description, "schema": schema}


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a text in a query string, which can't be null: one that is missing is."""
    kinds = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    rest = {key: value for key, value in schema.items() if key != "anyOf" and not (key == "default" and value is None)}
    return {**rest, **(kinds[0] if len(kinds) == 1 else {"anyOf": kinds})} if kinds else rest


def answers(
    kind: type,
    event: type | None = None,
    stream_type: str = "text/event-stream",
    *,
    status: int = 200,
    or_: type | None = None,
    also: Mapping[int, type | None] | None = None,
) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of an endpoint that returns a `kind`, or streams events of the type `event`.

    `or_`: the type of the answer in another API's format. `also`: other statuses that it returns, with their types;
    None: no body. The errors are added to all endpoints.
    """
    schema = _schema(kind) if or_ is None else {"anyOf": [_schema(kind), _schema(or_)]}
    content = {"application/json": {"schema": schema}}
    if event is not None:
        content[stream_type] = {"schema": _schema(event)}
    responses: dict[int | str, dict[str, Any]] = {status: {"description": "The answer", "content": content}}
    for other, type_ in (also or {}).items():
        responses[other] = {"description": "Another answer" if type_ else "An answer without a body"}
        if type_ is not None:
            responses[other]["content"] = {"application/json": {"schema": _schema(type_)}}
    return responses


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
    formats: Sequence[ErrorFormat] = app.state.error_formats
    bodies = [OPENAI.body, *(each.body for each in formats)]
    _, schemas = msgspec.json.schema_components([*_types.values(), *bodies], ref_template=_REF)
    for name in _names_of(Description) & schemas.keys():
        schemas[name]["required"] = list(schemas[name]["properties"])  # The server sends every field.
    requests = [kind for kind in _kinds_of(RequestObject) if kind.__name__ in schemas]
    for kind in requests:
        _allow_others(kind, schemas[kind.__name__])
        _make_default_types_optional(kind, schemas)
    for kind in requests:
        _allow_nulls(schemas[kind.__name__])
    components = document.setdefault("components", {})
    components["schemas"] = schemas
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"key": []}]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if is_open(path):
                operation["security"] = []
            operation["responses"].pop("422", None)  # FastAPI's own; see http/errors.py.
            _add_errors(operation["responses"], _error_schema(path, formats))
    return document


def _error_schema(path: str, formats: Sequence[ErrorFormat]) -> dict[str, Any]:
    """Return the schema of the errors at `path`: in the format of its API, and in others that share the path."""
    own = next((each for each in formats if path.startswith(each.paths)), OPENAI)
    shared = [each for each in formats if path.startswith(each.shared_paths)]
    kinds = [{"$ref": _REF.format(name=each.body.__name__)} for each in [own, *shared]]
    return kinds[0] if len(kinds) == 1 else {"anyOf": kinds}


def _add_errors(responses: dict[str, Any], error: dict[str, Any]) -> None:
    """Add the errors to the responses of an operation. A stream that has begun ends with one as an event."""
    for media_type, content in responses.get("200", {}).get("content", {}).items():
        if media_type != "application/json" and "schema" in content:
            either = {"anyOf": [content["schema"], error]}
            content["schema"] = _event_schema(either) if media_type == "text/event-stream" else either
    described = {"description": "The error", "content": {"application/json": {"schema": error}}}
    responses |= {"4XX": described, "5XX": described}


def _event_schema(data: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a server-sent event whose data, in JSON, have the schema `data`.

    The last one of streams in OpenAI's format is no JSON.
    """
    text = {"type": "string", "contentMediaType": "application/json", "contentSchema": data}
    either = {"anyOf": [text, {"const": "[DONE]"}]}
    return {"type": "object", "properties": {"event": {"type": "string"}, "data": either}, "required": ["data"]}


def _allow_others(kind: type[RequestObject], schema: dict[str, Any]) -> None:
    """Let lists that objects of other types are left out of have some; see Variants.leaves_out."""
    other = {"type": "object", "properties": {"type": {"type": "string"}}, "required": ["type"]}
    for name, variants in kind.variants.items():
        if variants.leaves_out:
            field = schema["properties"][name]
            field["items"] = {"anyOf": [field["items"], other]}


def _make_default_types_optional(kind: type[RequestObject], schemas: dict[str, Any]) -> None:
    """Let objects of the default variant come without their `type`; see Variants.default."""
    for variants in kind.variants.values():
        if variants.default is not None:
            required = schemas[variants.kinds[variants.default].__name__]["required"]
            if "type" in required:  # Not if another field has the same default.
                required.remove("type")


def _allow_nulls(schema: dict[str, Any]) -> None:
    """Let the fields of a request that may be missing be null, which is the same; see http/requests.py."""
    for name, field in schema["properties"].items():
        is_nullable = {"type": "null"} in field.get("anyOf", ()) or field == {}
        if name not in schema.get("required", ()) and not is_nullable:
            about = {key: field.pop(key) for key in ("description", "default") if key in field}
            schema["properties"][name] = {
                "anyOf": [*field.pop("anyOf", ()), *([field] if field else []), {"type": "null"}]
            }
            schema["properties"][name] |= about


def _names_of(kind: type[msgspec.Struct]) -> set[str]:
    return {each.__name__ for each in _kinds_of(kind)}


def _kinds_of(kind: type[S]) -> set[type[S]]:
    return {kind}.union(*(_kinds_of(each) for each in kind.__subclasses__()))
