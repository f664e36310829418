"""Hints are accepted, have no effect, and are named in the header llmos-ignored."""

from typing import Any

import httpx
import pytest

from support.fake_backend import FakeModel

pytestmark = [pytest.mark.anyio, pytest.mark.shared_gateway]

USER = {"role": "user", "content": "Hello"}
CHAT = {"model": "dialogue", "messages": [USER]}
RESPONSE = {"model": "dialogue", "input": "Hello"}
MESSAGES = {"model": "dialogue", "max_tokens": 9, "messages": [USER]}
OLLAMA = {"model": "dialogue", "messages": [USER], "stream": False}

PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}
TOOL = {"name": "look", "input_schema": {"type": "object"}}
LOOKED = [
    USER,
    {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "look", "input": {}}]},
    {"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "c", "content": [{"type": "text", "text": "A cat:"}, PICTURE]},
    ]},
]  # fmt: skip
SEARCHED: list[Any] = [
    *LOOKED[:2],
    {"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "c", "content": [{"type": "tool_reference", "tool_name": "look"}]},
    ]},
]  # fmt: skip
ENCRYPTED: list[Any] = [
    USER,
    {"role": "assistant", "content": [
        {"type": "redacted_thinking", "data": "x"},
        {"type": "text", "text": "Hello"},
    ]},
    USER,
]  # fmt: skip
FUNCTION = {"type": "function", "name": "look", "parameters": {"type": "object"}}
SHOWN: list[Any] = [
    USER,
    {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_image", "image_url": "data:"}]},
]


@pytest.mark.parametrize(
    ("path", "body", "fields", "ignored"),
    [
        ("/v1/chat/completions", CHAT, {"metadata": {"a": "b"}, "verbosity": "low"}, "verbosity, metadata"),
        ("/v1/chat/completions", CHAT, {"store": True, "service_tier": "flex"}, "store, service_tier"),
        ("/v1/chat/completions", CHAT, {"prompt_cache_key": "x", "prediction": {}}, "prompt_cache_key, prediction"),
        ("/v1/chat/completions", CHAT, {"tools": [{"type": "custom", "custom": {"name": "f"}}]}, "tools.custom"),
        ("/v1/chat/completions", CHAT, {"store": False, "service_tier": "auto", "metadata": None}, None),
        ("/v1/responses", RESPONSE, {"text": {"verbosity": "low"}}, "text.verbosity"),
        ("/v1/responses", RESPONSE, {"reasoning": {"effort": "low", "summary": "auto"}}, "reasoning.summary"),
        ("/v1/responses", RESPONSE, {"client_metadata": {"a": "b"}}, "client_metadata"),
        ("/v1/responses", RESPONSE, {"include": ["reasoning.encrypted_content"]}, "include"),
        ("/v1/responses", RESPONSE, {"tools": [{"type": "web_search"}, FUNCTION]}, "tools.web_search"),
        ("/v1/responses", RESPONSE, {"context_management": [{"type": "compaction"}]}, "context_management"),
        (
            "/v1/responses",
            RESPONSE,
            {"input": [{"type": "reasoning", "summary": [{"text": "x"}], "encrypted_content": "x"}, USER]},
            "input.summary, input.encrypted_content",
        ),
        ("/v1/messages", MESSAGES, {"thinking": {"type": "enabled", "budget_tokens": 1024}}, "thinking.budget_tokens"),
        ("/v1/messages", MESSAGES, {"context_management": {"edits": []}, "speed": "fast"}, "context_management, speed"),
        ("/v1/messages", MESSAGES, {"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools.bash_20250124"),
        (
            "/v1/messages",
            MESSAGES,
            {"system": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}] * 3},
            "system.cache_control",
        ),
        ("/v1/messages", MESSAGES, {"messages": LOOKED, "tools": [TOOL]}, "messages.content.content.image"),
        ("/v1/messages", MESSAGES, {"messages": ENCRYPTED}, "messages.content.redacted_thinking"),
        ("/v1/messages", MESSAGES, {"messages": SEARCHED, "tools": [TOOL]}, "messages.content.content.tool_reference"),
        ("/v1/responses", RESPONSE, {"input": SHOWN, "tools": [FUNCTION]}, "input.output.input_image"),
        ("/v1/chat/completions", CHAT, {"num_ctx": 4096, "keep_alive": "5m"}, "num_ctx, keep_alive"),
        (
            "/v1/chat/completions",
            CHAT | {"stream": True},
            {"stream_options": {"include_usage": True, "continuous_usage_stats": True}},
            "stream_options.continuous_usage_stats",
        ),
        ("/v1/completions", {"model": "dialogue", "prompt": "a"}, {"use_mmap": True, "mirostat": 0}, "use_mmap"),
        ("/api/chat", OLLAMA, {"options": {"num_ctx": 32768}}, "options.num_ctx"),
        ("/api/chat", OLLAMA, {"options": {"reasoning_effort": "low"}}, "options.reasoning_effort"),
        ("/v1/messages/count_tokens", {"model": "dialogue", "messages": [USER]}, {"speed": "fast"}, "speed"),
    ],
)
async def test_a_hint_is_accepted_and_named(
    http: httpx.AsyncClient, path: str, body: dict[str, Any], fields: dict[str, Any], ignored: str | None
) -> None:
    reply = await http.post(path, json=body | fields)
    assert reply.status_code == 200, reply.text
    assert reply.headers.get("llmos-ignored") == ignored


async def test_a_stream_names_them_too(http: httpx.AsyncClient) -> None:
    reply = await http.post("/v1/messages", json=MESSAGES | {"stream": True, "speed": "fast"})
    assert reply.headers["llmos-ignored"] == "speed"


LIMITED: list[Any] = [
    ("/v1/chat/completions", CHAT, {"max_tokens": 4000}, "max_tokens"),
    ("/v1/responses", RESPONSE, {"max_output_tokens": 4000}, "max_output_tokens"),
    ("/v1/messages", MESSAGES, {"max_tokens": 4000}, "max_tokens"),
    ("/api/chat", OLLAMA, {"options": {"num_predict": 4000}}, "options.num_predict"),
]


@pytest.mark.parametrize(("path", "body", "limit", "name"), LIMITED)
async def test_a_limit_that_is_more_than_fits_is_named(
    http: httpx.AsyncClient, model: FakeModel, path: str, body: dict[str, Any], limit: dict[str, Any], name: str
) -> None:
    model.ignored = ["max_tokens"]
    assert (await http.post(path, json=body | limit)).headers["llmos-ignored"] == name


@pytest.mark.parametrize(("path", "body", "limit", "name"), [each for each in LIMITED if each[0] != "/v1/messages"])
async def test_the_models_own_limit_is_not_named(
    http: httpx.AsyncClient, model: FakeModel, path: str, body: dict[str, Any], limit: dict[str, Any], name: str
) -> None:
    """The caller didn't send it, so a header that names it as a field of the request would mislead."""
    model.ignored = ["max_tokens"]
    assert "llmos-ignored" not in (await http.post(path, json=body)).headers


async def test_beta_headers_are_named(http: httpx.AsyncClient) -> None:
    reply = await http.post(
        "/v1/messages?beta=true", json=MESSAGES, headers={"anthropic-beta": "context-1m-2025-08-07"}
    )
    assert reply.headers["llmos-ignored"] == "anthropic-beta"


@pytest.mark.parametrize(
    ("path", "body"),
    [("/v1/messages", {**MESSAGES, "messages": LOOKED}), ("/v1/responses", {**RESPONSE, "input": SHOWN})],
)
async def test_the_model_reads_that_a_picture_was_left_out(
    http: httpx.AsyncClient, model: FakeModel, path: str, body: dict[str, Any]
) -> None:
    assert (await http.post(path, json=body)).status_code == 200
    (request,) = model.requests
    result = (request.messages or [])[-1]
    assert result["role"] == "tool"
    assert "[A picture was here. It was left out, since this model reads text only.]" in result["content"]


async def test_a_tool_that_cannot_run_here_is_not_shown_to_the_model(http: httpx.AsyncClient, model: FakeModel) -> None:
    tools = [{"type": "web_search"}, FUNCTION, {"type": "custom", "name": "apply_patch"}]
    await http.post("/v1/responses", json=RESPONSE | {"tools": tools})
    await http.post("/v1/responses", json=RESPONSE | {"tools": tools[:1]})
    first, second = model.requests
    assert first.tools is not None
    assert [function["name"] for function in first.tools.functions] == ["look"]
    assert second.tools is None


async def test_many_hints_make_a_short_header(http: httpx.AsyncClient) -> None:
    tools = [{"type": f"tool_{i}\r\nx: y"} for i in range(100)]
    reply = await http.post("/v1/responses", json=RESPONSE | {"tools": tools})
    names = reply.headers["llmos-ignored"].split(", ")
    assert len(names) == 21
    assert names[-1] == "..."
    assert "x" not in reply.headers
