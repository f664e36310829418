"""Requests of the form that real programs send: coding agents, chat programs and editors.

Those of Claude Code, Codex, opencode, aider, llm, Continue's `cn`, Cline's `cline` and Open WebUI were recorded; those
of Continue in an editor follow its documentation. They are shortened, and the texts in them are ours.
"""

from typing import Any

import httpx
import pytest

from llmos.engine.messages import Delta, ToolCallDelta
from support.fake_backend import FakeModel
from support.scripted import events

pytestmark = [pytest.mark.anyio, pytest.mark.shared_gateway]

RUN: Any = {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}
SCHEMA: Any = {"$schema": "http://json-schema.org/draft-07/schema#", **RUN, "additionalProperties": False}
CACHED: Any = {"cache_control": {"type": "ephemeral"}}

CLAUDE_CODE: Any = {
    "model": "dialogue",
    "system": [
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=2; cc_entrypoint=cli;"},
        {"type": "text", "text": "You help with software.", **CACHED},
    ],
    "messages": [
        {"role": "user", "content": [
            {"type": "text", "text": "<system-reminder>\nBe careful.\n</system-reminder>"},
            {"type": "text", "text": "What is in this folder?"},
        ]},
        {"role": "system", "content": "Agents that you can start: none."},
    ],
    "tools": [{"name": "Bash", "description": "Runs.", "input_schema": SCHEMA, "eager_input_streaming": True}],
    "metadata": {"user_id": '{"device_id":"d","session_id":"s"}'},
    "max_tokens": 32000,
    "thinking": {"type": "adaptive"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "output_config": {"effort": "high"},
    "stream": True,
}  # fmt: skip
"""Claude Code 2.1."""

CLAUDE_CODE_HEADERS = {
    "anthropic-version": "2023-06-01",
    "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14,effort-2025-11-24",
    "x-app": "cli",
}

CODEX: Any = {
    "model": "dialogue",
    "input": [
        {"type": "message", "id": "msg_1", "role": "developer", "content": [{"type": "input_text", "text": "Code."}]},
        {"type": "message", "id": "msg_2", "role": "developer", "content": [
            {"type": "input_text", "text": "Skills: none."}, {"type": "input_text", "text": "You may read."},
        ]},
        {"type": "message", "id": "msg_3", "role": "user", "content": [
            {"type": "input_text", "text": "What is in this folder?"},
        ]},
    ],
    "tools": [
        {"type": "function", "name": "exec_command", "description": "Runs.", "strict": False, "parameters": RUN},
        {"type": "namespace", "name": "agents", "description": "Agents.", "tools": []},
        {"type": "custom", "name": "apply_patch", "description": "Patches.", "format": {"type": "grammar"}},
        {"type": "web_search", "external_web_access": False},
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "reasoning": {"effort": "medium", "summary": "auto"},
    "store": False,
    "stream": True,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "session",
    "text": {"verbosity": "low"},
    "client_metadata": {"session_id": "s", "turn_id": "t"},
}  # fmt: skip
"""Codex 0.171."""

OPENCODE: Any = {
    "model": "dialogue",
    "max_tokens": 32000,
    "messages": [{"role": "system", "content": "You code."}, {"role": "user", "content": "What is in this folder?"}],
    "tools": [{"type": "function", "function": {"name": "bash", "description": "Runs.", "parameters": SCHEMA}}],
    "tool_choice": "auto",
    "stream": True,
    "stream_options": {"include_usage": True},
}
"""opencode 1.18, by @ai-sdk/openai-compatible."""

AIDER: Any = {
    "model": "dialogue",
    "messages": [
        {"role": "system", "content": "Act as an expert software developer."},
        {"role": "user", "content": "I am not sharing any files yet."},
        {"role": "assistant", "content": "Ok."},
        {"role": "user", "content": "Say hello."},
    ],
    "temperature": 0,
    "stream": True,
}
"""aider, by litellm."""

OPEN_WEBUI_TOOLS: Any = [
    {"type": "function", "function": {"name": "get_weather", "description": "\n        Gets the weather.\n        ",
        "parameters": {
            "properties": {
                "city": {"description": "the name of the city", "type": "string"},
                "days": {"default": 1, "description": "how many days", "type": "integer"},
            },
            "required": ["city"],
            "type": "object",
        }}},
    {"type": "function", "function": {"name": "get_current_timestamp", "description": "Gets the time.",
        "parameters": {"properties": {}, "type": "object"}}},
    {"type": "function", "function": {"name": "ask_user", "description": "Asks.", "parameters": {
        "properties": {"questions": {"items": {"additionalProperties": True, "type": "object"}, "type": "array"}},
        "required": ["questions"],
        "type": "object",
    }}},
]  # fmt: skip
"""A tool of the user's, and two of those that Open WebUI 0.12 sends with each chat."""

OPEN_WEBUI: Any = {
    "stream": True,
    "model": "dialogue",
    "messages": [{"role": "user", "content": "What is the weather in Rome?"}],
    "tools": OPEN_WEBUI_TOOLS,
}

OPEN_WEBUI_WITH_PARAMETERS: Any = {
    "stream": True,
    "model": "dialogue",
    "messages": [{"role": "system", "content": "You are brief."}, {"role": "user", "content": "Hi, count to five."}],
    "stream_options": {"include_usage": True},
    "temperature": 0.3, "top_p": 0.8, "top_k": 20, "min_p": 0.05, "max_tokens": 12, "seed": 3, "stop": ["zebra"],
    "frequency_penalty": 0.1, "presence_penalty": 0.1, "repeat_penalty": 1.05, "mirostat": 0, "mirostat_eta": 0.1,
    "mirostat_tau": 5, "tfs_z": 1, "logit_bias": {"1": 5}, "reasoning_effort": "low", "num_ctx": 2048,
    "num_batch": 512, "num_keep": 4, "num_gpu": 0, "num_thread": 2, "use_mmap": True, "use_mlock": False,
    "keep_alive": "5m",
}  # fmt: skip
"""With its advanced parameters, most of which are Ollama's: it sends them to a server of OpenAI's API, too."""

OPEN_WEBUI_FOLLOW_UPS: Any = {
    "model": "dialogue",
    "messages": [{"role": "user", "content": "### Task:\nPredict 3-5 messages that this user might send next."}],
    "stream": False,
}

OPEN_WEBUI_CHOOSING_A_TOOL: Any = {
    "model": "dialogue",
    "messages": [
        {"role": "system", "content": 'Available Tools: [{"name":"get_weather","parameters":{}}]\n\nReturn only JSON.'},
        {"role": "user", "content": 'Query: History:\nUSER: """What is the weather in Rome?"""\nQuery: Rome?'},
    ],
    "stream": False,
}
"""Its older mode of calling tools, in which the model writes JSON by instruction."""

OPEN_WEBUI_RESPONSES: Any = {
    "stream": True,
    "model": "dialogue",
    "temperature": 0,
    "input": [
        {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "What is the weather in Rome?"}],
        },
        {"type": "function_call", "call_id": "call_1", "name": "get_weather", "arguments": '{"city":"Rome"}'},
        {"type": "function_call_output", "call_id": "call_1", "output": "Sunny in Rome"},
    ],
    "tools": [{"type": "function", **tool["function"]} for tool in OPEN_WEBUI_TOOLS],
    "max_output_tokens": 100,
}
"""For a connection with the API type Responses, after a tool."""

CONTINUE: Any = {
    "model": "dialogue",
    "messages": [{"role": "user", "content": [{"type": "text", "text": "Explain this code."}]}],
    "max_tokens": 4096,
    "stream": True,
    "parallel_tool_calls": False,
    "tools": [{"type": "function", "function": {"name": "read_file", "parameters": RUN}}],
}

CONTINUE_COMPLETION: Any = {
    "model": "dialogue",
    "prompt": "<|fim_prefix|>def f(<|fim_suffix|>):<|fim_middle|>",
    "max_tokens": 256,
    "temperature": 0.01,
    "stop": ["<|endoftext|>", "<|fim_prefix|>", "\n\n"],
    "stream": True,
}

CONTINUE_CLI: Any = {
    "model": "dialogue",
    "messages": [{"role": "system", "content": "You code."}, {"role": "user", "content": "What is in this folder?"}],
    "tools": [{"type": "function", "function": {"name": "Read", "description": "Reads.", "parameters": RUN}}],
    "stream": True,
    "stream_options": {"include_usage": True},
}
"""Continue's command `cn`, by OpenAI's client."""

CLINE: Any = {
    "model": "dialogue",
    "messages": [{"role": "system", "content": "You code."}, {"role": "user", "content": "What is in this folder?"}],
    "tools": [
        {"type": "function", "function": {"name": "run_commands", "description": "Runs.", "parameters": {
            "type": "object",
            "properties": {"commands": {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1}},
            "required": ["commands"],
            "additionalProperties": False,
        }}},
        {"type": "function", "function": {"name": "ask_question", "description": "Asks.", "parameters": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {"options": {"minItems": 2, "maxItems": 5, "type": "array", "items": {"type": "string"}}},
            "required": ["options"],
            "additionalProperties": False,
        }}},
        {"type": "function", "function": {"name": "team_status", "description": "Shows.", "parameters": {
            "type": "object", "properties": {}, "additionalProperties": False,
        }}},
    ],
    "tool_choice": "auto",
    "stream": True,
    "stream_options": {"include_usage": True},
}  # fmt: skip
"""Cline 3.0's command, by @ai-sdk/openai-compatible."""

CLINE_IN_AN_EDITOR: Any = {
    "model": "dialogue",
    "messages": [
        {"role": "system", "content": "You are Cline."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "<task>Say hello</task>"}, {"type": "text", "text": "# Files"}],
        },
    ],
    "temperature": 0,
    "reasoning_effort": "medium",
    "stream": True,
    "stream_options": {"include_usage": True},
}

OPEN_WEBUI_TITLE: Any = {
    "model": "dialogue",
    "messages": [{"role": "user", "content": "### Task:\nGenerate a concise title summarizing the chat history."}],
    "stream": False,
    "max_tokens": 1000,
}

OPEN_WEBUI_TITLE_BY_OLLAMA: Any = {
    "model": "dialogue:latest",
    "messages": [{"role": "user", "content": "### Task:\nGenerate a concise title summarizing the chat history."}],
    "options": {"num_predict": 1000},
    "stream": False,
}

OPEN_WEBUI_AFTER_A_TOOL: Any = {
    "model": "dialogue:latest",
    "messages": [
        {"role": "user", "content": "What is the weather in Rome?"},
        {"role": "assistant", "content": "", "tool_calls": [
            {"index": 0, "id": "call_1", "function": {"name": "get_weather", "arguments": {"city": "Rome"}}},
        ]},
        {"role": "tool", "content": "Sunny in Rome", "tool_call_id": "call_1"},
    ],
    "options": {"temperature": 0.7, "num_predict": 60, "num_ctx": 4096, "num_keep": 24, "num_batch": 512,
                "use_mmap": True, "mirostat": 0, "tfs_z": 1, "reasoning_effort": "low"},
    "stream": True,
    "tools": OPEN_WEBUI_TOOLS,
    "keep_alive": "5m",
}  # fmt: skip
"""Open WebUI 0.12 through Ollama's API, the second request of a chat with tools."""


@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param("/v1/responses", CODEX, id="Codex"),
        pytest.param("/v1/chat/completions", OPENCODE, id="opencode"),
        pytest.param("/v1/chat/completions", AIDER, id="aider"),
        pytest.param("/v1/chat/completions", OPEN_WEBUI, id="Open WebUI"),
        pytest.param("/v1/chat/completions", CONTINUE, id="Continue"),
        pytest.param("/v1/completions", CONTINUE_COMPLETION, id="Continue, completing code"),
        pytest.param("/v1/chat/completions", CONTINUE_CLI, id="Continue's command"),
        pytest.param("/v1/chat/completions", CLINE, id="Cline"),
        pytest.param("/v1/chat/completions", CLINE_IN_AN_EDITOR, id="Cline in an editor"),
        pytest.param("/v1/chat/completions", OPEN_WEBUI_WITH_PARAMETERS, id="Open WebUI, with parameters"),
        pytest.param("/v1/chat/completions", OPEN_WEBUI_FOLLOW_UPS, id="Open WebUI, what to ask next"),
        pytest.param("/v1/chat/completions", OPEN_WEBUI_CHOOSING_A_TOOL, id="Open WebUI, choosing a tool"),
        pytest.param("/v1/responses", OPEN_WEBUI_RESPONSES, id="Open WebUI, responses"),
        pytest.param("/v1/chat/completions", OPEN_WEBUI_TITLE, id="Open WebUI, naming a chat"),
        pytest.param("/api/chat", OPEN_WEBUI_TITLE_BY_OLLAMA, id="Open WebUI, naming a chat by Ollama's API"),
        pytest.param("/api/chat", OPEN_WEBUI_AFTER_A_TOOL, id="Open WebUI, after a tool"),
    ],
)
async def test_a_request_is_answered(http: httpx.AsyncClient, path: str, body: dict[str, Any]) -> None:
    reply = await http.post(path, json=body)
    assert reply.status_code == 200, reply.text
    assert "lo" in reply.text


def calls(name: str) -> list[Delta]:
    return [
        Delta(id="any", text="I look.", num_output_tokens=1),
        Delta(id="any", tool_calls=[ToolCallDelta(0, "call_1", name, '{"command": "ls"}')], num_output_tokens=5),
        Delta(id="any", finish_reason="tool_calls", num_output_tokens=6),
    ]


async def test_claude_code_runs_a_tool(http: httpx.AsyncClient, model: FakeModel) -> None:
    model.enqueue(*calls("Bash"))
    path = "/v1/messages?beta=true"
    first = await http.post(path, json=CLAUDE_CODE, headers=CLAUDE_CODE_HEADERS)
    assert first.status_code == 200, first.text
    assert first.headers["llmos-ignored"] == "system.cache_control, context_management, anthropic-beta"
    assert '"stop_reason":"tool_use"' in first.text
    said = [
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "call_1", "name": "Bash", "input": {"command": "ls"}},
    ]
    result = {"type": "tool_result", "tool_use_id": "call_1", "content": "a.txt", "is_error": False, **CACHED}
    more = [{"role": "assistant", "content": said}, {"role": "user", "content": [result]}]
    body = {**CLAUDE_CODE, "messages": [*CLAUDE_CODE["messages"], *more]}
    second = await http.post(path, json=body, headers=CLAUDE_CODE_HEADERS)
    assert second.status_code == 200, second.text
    roles = [message["role"] for message in model.requests[1].messages or []]
    assert roles == ["system", "user", "system", "assistant", "tool"]
    assert model.requests[1].template_options == {"enable_thinking": True, "reasoning_effort": "high"}


async def test_codex_runs_a_tool(http: httpx.AsyncClient, model: FakeModel) -> None:
    model.enqueue(*calls("exec_command"))
    first = await http.post("/v1/responses", json=CODEX)
    assert first.headers["llmos-ignored"] == (
        "tools.namespace, tools.custom, tools.web_search, reasoning.summary, text.verbosity, client_metadata, include"
    )
    last = [line for line in first.text.splitlines() if line.startswith("data: ")][-1]
    output = httpx.Response(200, content=last.removeprefix("data: ")).json()["response"]["output"]
    result = {"type": "function_call_output", "call_id": "call_1", "output": "a.txt"}
    second = await http.post("/v1/responses", json={**CODEX, "input": [*CODEX["input"], *output, result]})
    assert second.status_code == 200, second.text
    assert [message["role"] for message in model.requests[1].messages or []][-2:] == ["assistant", "tool"]
    assert model.requests[1].tools is not None
    assert [function["name"] for function in model.requests[1].tools.functions] == ["exec_command"]


@pytest.mark.parametrize(
    ("body", "name", "content"),
    [
        pytest.param(OPENCODE, "bash", "I look.", id="opencode"),
        pytest.param(CONTINUE_CLI, "Read", "I look.", id="Continue"),
        pytest.param(OPEN_WEBUI, "get_weather", "", id="Open WebUI"),
        pytest.param(CLINE, "run_commands", None, id="Cline"),
    ],
)
async def test_a_tool_is_run(
    http: httpx.AsyncClient, model: FakeModel, body: dict[str, Any], name: str, content: str | None
) -> None:
    model.enqueue(*calls(name))
    first = await http.post("/v1/chat/completions", json=body)
    last = [event["choices"][0] for event in events(first.text) if event["choices"]][-1]
    assert last["finish_reason"] == "tool_calls"
    call = {"id": "call_1", "type": "function", "function": {"name": name, "arguments": '{"command": "ls"}'}}
    more = [
        {"role": "assistant", "content": content, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "a.txt"},
    ]
    second = {**body, "messages": [*body["messages"], *more]}
    assert (await http.post("/v1/chat/completions", json=second)).status_code == 200
    roles = [message["role"] for message in model.requests[1].messages or []]
    assert roles == [*(message["role"] for message in body["messages"]), "assistant", "tool"]


async def test_open_webui_continues_an_answer(http: httpx.AsyncClient, model: FakeModel) -> None:
    """Its button Continue, for a connection of the kind llama.cpp."""
    asked = [{"role": "user", "content": "Count."}, {"role": "assistant", "content": "One, two,"}]
    flags = {"continue_final_message": True, "add_generation_prompt": False}
    assert (await http.post("/v1/chat/completions", json={**OPEN_WEBUI, "messages": asked, **flags})).status_code == 200
    assert model.requests[0].continue_final_message
    for wrong in ({**flags, "add_generation_prompt": True}, {**flags, "messages": asked[:1]}):
        reply = await http.post("/v1/chat/completions", json={**OPEN_WEBUI, "messages": asked, **wrong})
        assert reply.json()["error"]["param"] == "continue_final_message"


PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGP4//8/AAX+Av6nNZ2BAAAAAElFTkSuQmCC"
PICTURE: Any = {"url": f"data:image/png;base64,{PIXEL}"}


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/v1/chat/completions", {"content": [
            {"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": PICTURE},
        ]}),
        ("/v1/responses", {"type": "message", "content": [
            {"type": "input_text", "text": "What is this?"},
            {"type": "input_image", "image_url": PICTURE["url"], "detail": "auto"},
        ]}),
        ("/api/chat", {"content": "What is this?", "images": [PIXEL]}),
    ],
)  # fmt: skip
async def test_open_webui_shows_why_a_picture_is_refused(
    http: httpx.AsyncClient, path: str, message: dict[str, Any]
) -> None:
    """It shows the error's text in the chat."""
    field = "input" if path == "/v1/responses" else "messages"
    reply = await http.post(path, json={"model": "dialogue", "stream": True, field: [{"role": "user", **message}]})
    assert reply.status_code == 400
    error = reply.json()["error"]
    assert "text only" in (error if path == "/api/chat" else error["message"])


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/embeddings", {"input": ["Tom lives in Paris.", "He eats fish."], "model": "minilm"}, "data"),
        (
            "/api/embed",
            {"input": ["Tom lives in Paris.", "He eats fish."], "model": "minilm", "truncate": True},
            "embeddings",
        ),
    ],
)
async def test_open_webui_embeds_documents(
    http: httpx.AsyncClient, path: str, body: dict[str, Any], field: str
) -> None:
    reply = await http.post(path, json=body)
    assert reply.status_code == 200, reply.text
    assert len(reply.json()[field]) == 2
