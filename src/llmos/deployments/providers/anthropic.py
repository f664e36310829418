"""Anthropic's Messages API."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import msgspec

from llmos.deployments.providers.provider_model import ProviderModel
from llmos.deployments.providers.request_format import Refusal, RequestFormat
from llmos.engine.messages import Counted, Delta, Event, FinishReason, Generate, ReportedUsage, ToolCallDelta, Tools

API_VERSION = "2023-06-01"

MAX_TOKENS = 4096
"""The API requires a limit. This one is sent if the caller names none; every model takes it, and the finish reason
`length` shows that it was met."""

_REASONS: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


class AnthropicFormat(RequestFormat):
    refused: ClassVar = {
        name: Refusal(name)
        for name in (
            "min_tokens", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty", "logit_bias", "seed",
            "n", "stop_token_ids", "ignore_eos", "logprobs",
        )
    } | {"include_stop": Refusal("include_stop_str_in_output")}  # fmt: skip

    def __init__(self, model: ProviderModel, request: Generate, given: frozenset[str]) -> None:
        super().__init__(model, request, given)
        self._usage: dict[str, Any] = {}
        self._has_thought = "enable_thinking" in request.template_options
        self._calls: dict[int, int] = {}
        """The index of a content block -> the index of the tool call in it."""
        self._num_deltas = 0
        self._reason: FinishReason | None = None
        self._stop: str | None = None

    @staticmethod
    def headers(key: str | None) -> dict[str, str]:
        return {"anthropic-version": API_VERSION} | ({} if key is None else {"x-api-key": key})

    def path(self) -> str:
        return "/messages"

    def body(self) -> dict[str, Any]:
        self.check_common()
        request, params = self.request, self.request.sampling
        if request.text is not None:
            raise self.unsupported("prompt", "continue a text as it stands", "Send it as a message.")
        if request.echo:
            raise self.unsupported("echo", "repeat a conversation", "Leave `echo` out.")
        if params.temperature > 1:
            raise self.unsupported(
                "temperature", f"take a temperature of {params.temperature:g}", "It goes from 0 to 1."
            )
        system, messages = self._conversation()
        return {
            "model": self.model.name,
            "max_tokens": MAX_TOKENS if params.max_tokens is None else params.max_tokens,
            "messages": messages,
            "stream": True,
            **({"system": system} if system else {}),
            **self.sampling("temperature", "top_p", "top_k"),
            **({"stop_sequences": params.stop} if params.stop else {}),
            **self._options(),
            **self._format(),
            **({} if request.tools is None else _tools(request.tools)),
        }

    def _conversation(self) -> tuple[str, list[dict[str, Any]]]:
        """Return the system prompt and the messages. Adjacent messages of one role become one."""
        if self.request.messages is None:
            return "", [{"role": "user", "content": [_text(self.request.user_text or "")]}]
        systems: list[str] = []
        turns: list[dict[str, Any]] = []
        for i, message in enumerate(self.request.messages):
            if message["role"] == "system":
                if turns:
                    raise self.unsupported(
                        f"messages[{i}].role", "take a system message in the middle", "Put it before the others."
                    )
                systems.append(message["content"])
                continue
            role = "assistant" if message["role"] == "assistant" else "user"
            if not turns or turns[-1]["role"] != role:
                turns.append({"role": role, "content": []})
            turns[-1]["content"] += _blocks(message)
        return "\n\n".join(systems), turns

    def _options(self) -> dict[str, Any]:
        options = {name: value for name, value in self.request.template_options.items() if value is not False}
        thinking = {"thinking": {"type": "adaptive"}} if options.pop("enable_thinking", False) is True else {}
        if options:
            name = next(iter(options))
            raise self.unsupported(name, f"take `{name}`", "Leave it out.")
        return thinking

    def _format(self) -> dict[str, Any]:
        if (grammar := self.request.grammar) is None:
            return {}
        if grammar.kind != "json_schema":
            what = {"json_object": "any JSON object", "lark": "a grammar"}.get(grammar.kind, f"a {grammar.kind}")
            raise self.unsupported(
                grammar.field, f"hold to {what}", "Ask for a JSON schema, or a model of this machine."
            )
        return {"output_config": {"format": {"type": "json_schema", "schema": msgspec.json.decode(grammar.text)}}}

    def read(self, event: dict[str, Any]) -> Iterator[Event]:
        kind = event.get("type")
        if kind == "message_start":
            self._usage |= (event.get("message") or {}).get("usage") or {}
            if self._usage:  # So that a caller who hangs up is known to have had this prompt.
                yield Counted(self.request.id, self._num_prompt_tokens())
        elif kind == "content_block_start":
            block = event.get("content_block") or {}
            if block.get("type") == "tool_use":
                index = self._calls.setdefault(event.get("index", 0), len(self._calls))
                yield self._delta(tool_calls=[ToolCallDelta(index, id=block.get("id", ""), name=block.get("name", ""))])
            elif text := block.get("text"):
                yield self._delta(text=text)
        elif kind == "content_block_delta":
            yield from self._added(event.get("index", 0), event.get("delta") or {})
        elif kind == "message_delta":
            self._usage |= {name: num for name, num in (event.get("usage") or {}).items() if num is not None}
            ending = event.get("delta") or {}
            if (reason := ending.get("stop_reason")) is not None:
                self._reason, self._stop = _REASONS.get(reason, "stop"), ending.get("stop_sequence")

    def _added(self, block: int, delta: Mapping[str, Any]) -> Iterator[Event]:
        if text := delta.get("text"):
            yield self._delta(text=text)
        elif thinking := delta.get("thinking"):
            self._has_thought = True
            yield self._delta(reasoning=thinking)
        elif (arguments := delta.get("partial_json")) and block in self._calls:
            yield self._delta(tool_calls=[ToolCallDelta(self._calls[block], arguments=arguments)])

    def _delta(self, **added: Any) -> Delta:
        self._num_deltas += 1
        return Delta(id=self.request.id, num_output_tokens=self._num_deltas, **added)

    def end(self) -> Iterator[Event]:
        if self._reason is None:
            raise self.ended_early()
        num_cached = self.num_tokens(self._usage, "cache_read_input_tokens")
        num_output = self.num_tokens(self._usage, "output_tokens")
        if self._usage:
            # It thinks in more tokens than it sends, and doesn't say in how many.
            visible = None if self._has_thought else num_output
            reported = ReportedUsage(
                num_prompt_tokens=self._num_prompt_tokens(),
                num_cached_tokens=num_cached,
                num_completion_tokens=num_output,
                num_visible_tokens=visible,
                cost_nanos=self.cost_nanos(self._usage.get("cost")),
            )
            yield Counted(self.request.id, reported.num_prompt_tokens, reported)
        yield Delta(
            id=self.request.id,
            finish_reason=self._reason,
            stop_reason=self._stop,
            num_output_tokens=num_output or self._num_deltas,
            num_cached_tokens=num_cached,
        )

    def _num_prompt_tokens(self) -> int:
        kinds = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
        return sum(self.num_tokens(self._usage, each) for each in kinds)


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _blocks(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    if message["role"] == "tool":
        return [{"type": "tool_result", "tool_use_id": message["tool_call_id"], "content": message["content"]}]
    blocks = [_text(message["content"])] if message.get("content") else []
    for call in message.get("tool_calls") or ():
        function = call["function"]
        blocks.append({"type": "tool_use", "id": call["id"], "name": function["name"], "input": _input(function)})
    return blocks


def _input(function: Mapping[str, Any]) -> Any:
    """Return the arguments of a call as an object. Empty if the call was cut off."""
    try:
        return json.loads(function["arguments"])
    except ValueError:
        return {}


def _tools(tools: Tools) -> dict[str, Any]:
    kinds = {"auto": "auto", "required": "any", "none": "none", "named": "tool"}
    choice: dict[str, Any] = {"type": kinds[tools.choice]}
    if tools.choice == "named":
        choice["name"] = tools.name
    if not tools.is_parallel and tools.choice != "none":
        choice["disable_parallel_tool_use"] = True
    return {"tools": [_tool(function) for function in tools.functions], "tool_choice": choice}


def _tool(function: Mapping[str, Any]) -> dict[str, Any]:
    description = {"description": function["description"]} if function.get("description") else {}
    return {"name": function["name"], **description, "input_schema": function.get("parameters") or {"type": "object"}}
