"""OpenAI's API: chat completions, and completions for texts to continue."""

from collections.abc import Iterator
from typing import Any, ClassVar
from urllib.parse import urlsplit

import msgspec

from llmos.deployments.providers.provider_model import ProviderModel
from llmos.deployments.providers.request_format import Refusal, RequestFormat
from llmos.engine.messages import (
    Counted,
    Delta,
    Event,
    FinishReason,
    Generate,
    Grammar,
    ReportedUsage,
    ToolCallDelta,
    Tools,
)

_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}


class OpenAIFormat(RequestFormat):
    refused: ClassVar = {
        name: Refusal(name)
        for name in (
            "min_tokens", "top_k", "min_p", "repetition_penalty", "stop_token_ids", "ignore_eos", "logprobs",
        )
    } | {"include_stop": Refusal("include_stop_str_in_output")}  # fmt: skip

    def __init__(self, model: ProviderModel, request: Generate, given: frozenset[str]) -> None:
        super().__init__(model, request, given)
        num = request.sampling.n
        self._reasons: dict[int, FinishReason] = {}
        self._num_deltas = [0] * num
        """The deltas of each choice: about its tokens, until the provider reports their number."""
        self._calls: list[dict[int, int]] = [{} for _ in range(num)]
        """For each choice: the provider's index of a tool call -> ours."""
        self._usage: dict[str, Any] = {}

    @staticmethod
    def headers(key: str | None) -> dict[str, str]:
        return {} if key is None else {"Authorization": f"Bearer {key}"}

    def path(self) -> str:
        return "/completions" if self.request.text is not None else "/chat/completions"

    def body(self) -> dict[str, Any]:
        self.check_common()
        body: dict[str, Any] = {
            "model": self.model.name,
            "stream": True,
            # Otherwise the stream carries no usage, and every call is to be counted.
            "stream_options": {"include_usage": True},
            **self.sampling("temperature", "top_p", "presence_penalty", "frequency_penalty", "seed", "stop", "n"),
        }
        if bias := self.request.sampling.logit_bias:
            body["logit_bias"] = {str(token): value for token, value in bias.items()}
        if (limit := self.request.sampling.max_tokens) is not None:
            body[self._limit_name()] = limit
        return body | (self._completion_body() if self.request.text is not None else self._chat_body())

    def _completion_body(self) -> dict[str, Any]:
        if self.request.grammar is not None:
            raise self.unsupported(
                self.request.grammar.field, f"hold to `{self.request.grammar.field}` here", "Chat instead."
            )
        return {"prompt": self.request.text} | ({"echo": True} if self.request.echo else {})

    def _chat_body(self) -> dict[str, Any]:
        request = self.request
        if request.continue_final_message:
            raise self.unsupported("messages", "continue an assistant's message", "End with a message of the user.")
        if request.echo:
            raise self.unsupported("echo", "repeat a conversation", "Leave `echo` out.")
        options = {name: value for name, value in request.template_options.items() if value is not False}
        effort = {name: options.pop(name) for name in ("reasoning_effort",) if name in options}
        if options:
            name = next(iter(options))
            raise self.unsupported(name, f"take `{name}`, an option of a chat template", "Leave it out.")
        grammar = {} if request.grammar is None else {"response_format": self._response_format(request.grammar)}
        tools = {} if request.tools is None else _tools(request.tools)
        user = [{"role": "user", "content": request.user_text}]
        messages = user if request.messages is None else [_message(message) for message in request.messages]
        return {"messages": messages, **effort, **grammar, **tools}

    def _limit_name(self) -> str:
        # OpenAI's newer models take only this name, and most others only the older one.
        host = urlsplit(self.model.provider.base_url).hostname or ""
        is_newer = host.endswith((".openai.com", ".openai.azure.com")) and self.request.text is None
        return "max_completion_tokens" if is_newer else "max_tokens"

    def _response_format(self, grammar: Grammar) -> dict[str, Any]:
        if grammar.kind == "json_object":
            return {"type": "json_object"}
        if grammar.kind == "json_schema":
            schema = {"name": "answer", "schema": msgspec.json.decode(grammar.text), "strict": True}
            return {"type": "json_schema", "json_schema": schema}
        kind = grammar.kind if grammar.kind != "lark" else "grammar"
        raise self.unsupported(grammar.field, f"hold to a {kind}", "Ask for a JSON schema, or a model of this machine.")

    def read(self, event: dict[str, Any]) -> Iterator[Event]:
        if isinstance(usage := event.get("usage"), dict):
            self._usage = usage
        for choice in event.get("choices") or ():
            index = choice.get("index", 0)
            if not 0 <= index < len(self._num_deltas):
                continue
            if (reason := choice.get("finish_reason")) is not None:
                self._reasons[index] = _REASONS.get(reason, "stop")
            delta = choice.get("delta") or {"content": choice.get("text")}
            text, reasoning = delta.get("content") or delta.get("refusal") or "", delta.get("reasoning_content") or ""
            calls = [self._call(index, call) for call in delta.get("tool_calls") or ()]
            if text or reasoning or calls:
                self._num_deltas[index] += 1
                yield Delta(
                    id=self.request.id,
                    index=index,
                    text=text,
                    reasoning=reasoning,
                    tool_calls=calls,
                    num_output_tokens=self._num_deltas[index],
                )

    def _call(self, choice: int, call: dict[str, Any]) -> ToolCallDelta:
        numbers, function = self._calls[choice], call.get("function") or {}
        index = numbers.setdefault(call.get("index", 0), len(numbers))
        name, arguments = function.get("name") or "", function.get("arguments") or ""
        return ToolCallDelta(index, id=call.get("id") or "", name=name, arguments=arguments)

    def end(self) -> Iterator[Event]:
        if len(self._reasons) < len(self._num_deltas):
            raise self.ended_early()
        usage, num_cached = self._usage, 0
        counts = list(self._num_deltas)
        if usage:
            reported = self._reported(usage)
            yield Counted(self.request.id, reported.num_prompt_tokens, reported)
            # The provider counts all choices together. The first one carries the total, so that the sum is right.
            counts = [reported.num_completion_tokens] + [0] * (len(counts) - 1)
            num_cached = reported.num_cached_tokens
        for index, reason in sorted(self._reasons.items()):
            yield Delta(
                id=self.request.id,
                index=index,
                finish_reason=reason,
                num_output_tokens=counts[index],
                num_cached_tokens=num_cached if index == 0 else 0,
            )

    def _reported(self, usage: dict[str, Any]) -> ReportedUsage:
        num_tokens = self.num_tokens(usage, "completion_tokens")
        num_thought = self.num_tokens(usage.get("completion_tokens_details") or {}, "reasoning_tokens")
        return ReportedUsage(
            num_prompt_tokens=self.num_tokens(usage, "prompt_tokens"),
            num_cached_tokens=self.num_tokens(usage.get("prompt_tokens_details") or {}, "cached_tokens"),
            num_completion_tokens=num_tokens,
            num_visible_tokens=max(0, num_tokens - num_thought),
            cost_nanos=self.cost_nanos(usage.get("cost")),
        )


def _message(message: dict[str, Any]) -> dict[str, Any]:
    # Providers don't accept the reasoning of earlier answers.
    return {name: value for name, value in message.items() if name != "reasoning_content"}


def _tools(tools: Tools) -> dict[str, Any]:
    choice: dict[str, Any] = {}
    if tools.choice == "named":
        choice = {"tool_choice": {"type": "function", "function": {"name": tools.name}}}
    elif tools.choice != "auto":
        choice = {"tool_choice": tools.choice}
    parallel = {} if tools.is_parallel else {"parallel_tool_calls": False}
    return {"tools": [{"type": "function", "function": each} for each in tools.functions], **choice, **parallel}
