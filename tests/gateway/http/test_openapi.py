"""The OpenAPI document describes every endpoint."""

from typing import Any

import httpx
import msgspec
import pytest

from llmos.gateway.http.open_paths import is_open
from llmos.gateway.wires.openai.chat.fields import ChatRequest

pytestmark = pytest.mark.anyio


async def document(http: httpx.AsyncClient) -> Any:
    return (await http.get("/openapi.json")).json()


def references(part: Any) -> set[str]:
    if isinstance(part, dict):
        own = {part["$ref"]} if isinstance(part.get("$ref"), str) else set()
        return own.union(*(references(each) for each in part.values()))
    return set().union(*(references(each) for each in part)) if isinstance(part, list) else set()


async def test_every_reference_has_a_schema(http: httpx.AsyncClient) -> None:
    described = await document(http)
    names = {reference.removeprefix("#/components/schemas/") for reference in references(described)}
    assert {"ChatRequest", "ChatCompletion", "ChatCompletionChunk", "Message", "ErrorBody"} <= names
    assert names <= described["components"]["schemas"].keys()


WITHOUT_BODY = (
    "/cancel",
    "/checkpoint",
    "/disable",
    "/enable",
    "/encrypt",
    "/pause",
    "/{exporter}/resume",
    "/retry",
    "/revoke",
    "/sign-in-link",
    "/sign-out",
    "/sleep",
    "/stop",
    "/take",
    "/test",
    "/wake",
)


async def test_every_operation_documents_its_request_answer_and_authentication(http: httpx.AsyncClient) -> None:
    described = await document(http)
    assert described["security"] == [{"key": []}]
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], path
            reads = method in ("post", "put", "patch") and not path.endswith(WITHOUT_BODY)
            assert (reads or path == "/api/delete") == ("requestBody" in operation), path
            assert (operation.get("security") == []) == is_open(path), path
            no_json: tuple[str, ...] = ("/metrics", "/health/identity", "/api/copy", "/v1/files/{file_id}/content")
            no_json += ("/llmos/v1/sign-in", "/llmos/v1/sign-out", "/llmos/v1/audit/export")
            no_json += ("/llmos/v1/blobs/{digest}", "/llmos/v1/models/{name}/card.html")
            no_json += ("/llmos/v1/datasets/{name}/report.html",)
            no_json += ("/llmos/v1/datasets/{name}/export", "/llmos/v1/apps/{name}/files")
            no_json += ("/llmos/v1/apps/{name}/logs", "/llmos/v1/invoices/{number}/entries")
            if path not in no_json and method != "delete":
                status = next(status for status in operation["responses"] if status.startswith("2"))
                assert references(operation["responses"][status]["content"]["application/json"]["schema"]), path


@pytest.mark.parametrize(
    ("path", "method", "error"),
    [
        ("/v1/chat/completions", "post", "ErrorBody"),
        ("/v1/messages", "post", "AnthropicError"),
        ("/v1/messages/count_tokens", "post", "AnthropicError"),
        ("/api/chat", "post", "OllamaError"),
        ("/v2/models/{model}/infer", "post", "InferenceError"),
        ("/v2", "get", "InferenceError"),
        ("/llmos/v1/rollouts/{id}", "get", "ErrorBody"),
        ("/health/ready", "get", "ErrorBody"),
    ],
)
async def test_errors_are_described_in_the_format_of_their_api(
    http: httpx.AsyncClient, path: str, method: str, error: str
) -> None:
    responses = (await document(http))["paths"][path][method]["responses"]
    for status in ("4XX", "5XX"):
        assert references(responses[status]) == {f"#/components/schemas/{error}"}


async def test_a_shared_path_has_the_errors_of_both_apis(http: httpx.AsyncClient) -> None:
    responses = (await document(http))["paths"]["/v1/models/{model}"]["get"]["responses"]
    names = {"ErrorBody", "AnthropicError"}
    assert references(responses["4XX"]) == {f"#/components/schemas/{name}" for name in names}


async def test_every_status_is_an_answer_of_the_endpoint_or_an_error(http: httpx.AsyncClient) -> None:
    for path, operations in (await document(http))["paths"].items():
        for operation in operations.values():
            assert {"4XX", "5XX"} <= operation["responses"].keys(), path
            assert "422" not in operation["responses"], path
    assert "HTTPValidationError" not in (await document(http))["components"]["schemas"]


async def test_parameters_of_a_query_are_described(http: httpx.AsyncClient) -> None:
    parameters = (await document(http))["paths"]["/llmos/v1/jobs"]["get"]["parameters"]
    assert [each["name"] for each in parameters] == ["kind", "state", "after", "limit"]
    limit = parameters[-1]
    assert (limit["in"], limit["required"]) == ("query", False)
    assert limit["schema"] == {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}


async def test_a_field_of_a_request_that_may_be_missing_may_be_null(http: httpx.AsyncClient) -> None:
    fields = (await document(http))["components"]["schemas"]["ChatRequest"]["properties"]
    assert {"type": "null"} in fields["presence_penalty"]["anyOf"]
    assert {"type": "null"} in fields["tools"]["anyOf"]
    assert fields["model"]["type"] == "string"


async def test_objects_of_the_default_type_may_come_without_it(http: httpx.AsyncClient) -> None:
    schemas = (await document(http))["components"]["schemas"]
    for default in ("MessageItem", "AnthropicTool"):
        assert "type" not in schemas[default]["required"]
        assert {"type": "null"} in schemas[default]["properties"]["type"]["anyOf"]
    assert "type" in schemas["FunctionCallItem"]["required"]


async def test_streams_are_described_too(http: httpx.AsyncClient) -> None:
    paths = (await document(http))["paths"]
    for path in ("/v1/chat/completions", "/v1/completions", "/llmos/v1/generate"):
        event = paths[path]["post"]["responses"]["200"]["content"]["text/event-stream"]["schema"]
        assert "#/components/schemas/ErrorBody" in references(event["properties"]["data"]), path


async def test_the_schema_of_a_request_is_the_type_that_decodes_it(http: httpx.AsyncClient) -> None:
    schema = (await document(http))["components"]["schemas"]["ChatRequest"]
    assert schema["properties"].keys() == set(ChatRequest.__struct_fields__)
    assert set(schema["required"]) == {"model", "messages"}
    assert schema["additionalProperties"] is False
    assert msgspec.json.encode(schema)


async def test_every_operation_has_its_own_id(http: httpx.AsyncClient) -> None:
    paths = (await document(http))["paths"]
    names = [operation["operationId"] for operations in paths.values() for operation in operations.values()]
    assert "create_chat_completion" in names
    assert len(set(names)) == len(names)
