"""Guardrails as stages of the pipeline: a check that screens the prompt, and a filter that screens the answer.

Call   → its texts → Screening.screen_prompt → the call with the texts that the model may see
Deltas → for each choice, one channel at a time (reasoning, text, the arguments of a call) → deltas
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import msgspec

from llmos.core.errors import BadRequest, LLMOSError
from llmos.engine.messages import Delta, ToolCallDelta
from llmos.gateway.calls.applications import without_version
from llmos.gateway.calls.call import Call, ModelCall, Prompt, PromptedCall
from llmos.gateway.calls.embedding import EmbedCall
from llmos.gateway.calls.rating import RateCall
from llmos.gateway.calls.record import Record
from llmos.gateway.calls.stages import C
from llmos.gateway.calls.surprise import SurpriseMeter
from llmos.security.guardrails.guardrail import GuardrailFailed, OutOfTime, Source
from llmos.security.guardrails.policies import GuardrailPolicies
from llmos.security.guardrails.screening import ChannelScreen, Screening

_LONG = 20_000
"""Characters beyond which a prompt is screened in a thread, so that other calls don't wait."""


class GuardrailStages:
    """The check and the filter of one pipeline."""

    def __init__(self, policies: GuardrailPolicies, meter: SurpriseMeter) -> None:
        """`meter`: asks the model itself, for the guardrails that want its opinion."""
        self._policies, self._meter = policies, meter

    async def check(self, call: C, record: Record) -> C:
        """Return the call as the model may see it. Raises PromptBlocked."""
        name = record.route or without_version(record.application)
        policies = await self._policies.of_call(project=call.caller.project, route=name)
        if not policies:
            return call
        num_choices = call.num_choices if isinstance(call, Call) else 1
        record.screening = screening = Screening(policies, num_choices=num_choices)
        field = _shown_tokens(call)
        if field is not None and screening.screens_output:
            raise BadRequest(
                f"`{field}` can't be given: the policy {screening.policies[0].name} screens the answer, and log"
                " probabilities would show what it withholds. Leave them out.",
                param=field,
            )
        if screening.screens_input:
            texts = _Texts(takes_tokens=record.operation == "count")
            rebuild = texts.of_call(call)
            await self._ask_model(screening, texts, call, record)
            is_long = sum(map(len, texts.found)) > _LONG
            screened = (
                await asyncio.to_thread(screening.screen_prompt, texts.found, texts.sources)
                if is_long or screening.waits_for_prompt
                else screening.screen_prompt(texts.found, texts.sources)
            )
            if screened != texts.found:
                call = rebuild(iter(screened).__next__)
        return call

    async def _ask_model(self, screening: Screening, texts: "_Texts", call: ModelCall, record: Record) -> None:
        """Ask the model about the texts that guardrails want its opinion of. Raises PromptBlocked."""
        for step in screening.model_steps:
            asked = [text for text, source in zip(texts.found, texts.sources, strict=True) if step.screens(source)]
            try:
                async with asyncio.timeout(step.budget_seconds):
                    surprises = await self._meter.of(asked, call, record) if asked else []
            except TimeoutError:
                screening.fail(step, OutOfTime())
            except LLMOSError as error:
                screening.fail(step, GuardrailFailed(error.message))
            else:
                screening.judge(step, surprises)

    def filter(self, deltas: AsyncIterator[Delta], record: Record) -> AsyncIterator[Delta]:
        """Return the deltas as the caller may see them. A choice that is blocked ends with content_filter."""
        screening = record.screening
        return deltas if screening is None or not screening.screens_output else self._screened(deltas, screening)

    async def _screened(self, deltas: AsyncIterator[Delta], screening: Screening) -> AsyncGenerator[Delta, None]:
        choices: dict[int, _Choice] = {}
        async for delta in deltas:
            choice = choices.get(delta.index) or choices.setdefault(delta.index, _Choice(screening))
            if screening.waits_for_answer:
                parts = await asyncio.to_thread(choice.screen, delta)
            else:
                parts = choice.screen(delta)
            for screened in parts:
                yield screened
            if sum(each.has_ended for each in choices.values()) == screening.num_choices:
                return


def _shown_tokens(call: ModelCall) -> str | None:
    """Return the field with which the call asks what the model itself would say, if it does."""
    if isinstance(call, RateCall):
        return "top" if call.num_top else None
    if not isinstance(call, Call):
        return None
    return (
        "logprobs" if call.sampling.params.logprobs is not None else "prompt_logprobs" if call.prompt_logprobs else None
    )


class _Choice:
    """One choice of an answer."""

    def __init__(self, screening: Screening) -> None:
        self._screening = screening
        self._name: Literal["text", "reasoning"] | int | None = None
        """The part that grows now: `reasoning`, `text`, or the index of a call."""
        self._channel: ChannelScreen | None = None
        self.has_ended = False

    def screen(self, delta: Delta) -> list[Delta]:
        """Return what the caller may see by now."""
        if self.has_ended:
            return []  # The model goes on until the other choices have ended; its tokens are counted.
        parts: list[dict[str, Any]] = []
        if _is_text_alone(delta):
            self._enter("text", parts)
            if not self._is_blocked and self._channel is not None:
                is_last = delta.finish_reason is not None
                parts.append(self._part(self._channel.end(delta.text) if is_last else self._channel.push(delta.text)))
            return self._deltas(delta, _merged(parts))
        if delta.reasoning:
            self._enter("reasoning", parts)
            self._push(delta.reasoning, parts)
        if delta.text:
            self._enter("text", parts)
            self._push(delta.text, parts)
        for call in delta.tool_calls:
            self._enter(call.index, parts)
            if not self._is_blocked:
                parts.append({"tool_calls": [msgspec.structs.replace(call, arguments="")]} if call.id else {})
                self._push(call.arguments, parts)
        if delta.finish_reason is not None:
            self._leave(parts)
        return self._deltas(delta, _merged(parts))

    @property
    def _is_blocked(self) -> bool:
        return self._channel is not None and self._channel.is_blocked

    def _enter(self, name: Literal["text", "reasoning"] | int, parts: list[dict[str, Any]]) -> None:
        """Go on with a text. The one before it has ended."""
        if self._is_blocked or self._name == name:
            return
        self._leave(parts)
        if not self._is_blocked:
            self._name = name
            self._channel = self._screening.open_channel("arguments" if isinstance(name, int) else name)

    def _leave(self, parts: list[dict[str, Any]]) -> None:
        if self._channel is not None:
            parts.append(self._part(self._channel.finish()))

    def _push(self, text: str, parts: list[dict[str, Any]]) -> None:
        if self._channel is not None and not self._channel.is_blocked:
            parts.append(self._part(self._channel.push(text)))

    def _part(self, text: str) -> dict[str, Any]:
        if not text:
            return {}
        if isinstance(self._name, int):
            return {"tool_calls": [ToolCallDelta(self._name, arguments=text)]}
        return {str(self._name): text}

    def _deltas(self, delta: Delta, parts: Sequence[dict[str, Any]]) -> list[Delta]:
        self.has_ended = self._is_blocked or delta.finish_reason is not None
        if _is_text_alone(delta) and not self._is_blocked and len(parts) <= 1 and parts[:1] != [{}]:
            text = parts[0].get("text") if parts else ""
            if text is not None:
                return [msgspec.structs.replace(delta, text=text, token_ids=[])]
        empty = msgspec.structs.replace(
            delta, text="", reasoning="", tool_calls=[], token_ids=[], logprobs=[], finish_reason=None, stop_reason=None
        )
        *earlier, last = [msgspec.structs.replace(empty, **part) for part in parts] or [empty]
        last = msgspec.structs.replace(
            last,
            logprobs=delta.logprobs,
            finish_reason="content_filter" if self._is_blocked else delta.finish_reason,
            stop_reason=None if self._is_blocked else delta.stop_reason,
        )
        return [*earlier, last]


def _is_text_alone(delta: Delta) -> bool:
    """Return whether the delta is what most are."""
    return bool(delta.text) and not delta.reasoning and not delta.tool_calls


def _merged(parts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one delta's fields for each run of the same field."""
    merged: list[dict[str, Any]] = []
    for part in parts:
        if part and merged and part.keys() == merged[-1].keys():
            (name,) = part
            merged[-1] = {name: merged[-1][name] + part[name]}
        elif part:
            merged.append(part)
    return merged


_SOURCES: dict[Any, Source] = {
    "system": "system",
    "developer": "system",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
"""Role of a message -> who its texts are from."""

_PLAIN_MESSAGE = {"role", "content"}

Take = Callable[[], str]
"""Returns the next of the screened texts."""


class _Texts:
    """Collects the texts of a call in order. Each method returns how the same part is made of the screened texts."""

    def __init__(self, *, takes_tokens: bool) -> None:
        """`takes_tokens`: prompts of token ids, which can't be read, are let pass: nothing runs."""
        self.found: list[str] = []
        self.sources: list[Source] = []
        """The source of each text in `found`."""
        self._source: Source = "user"
        self._takes_tokens = takes_tokens

    def of_call(self, call: C) -> Callable[[Take], C]:
        if isinstance(call, EmbedCall):
            rebuild = self._all([self._input(each) for each in call.inputs])
            instruction = self._optional(call.instruction)
            return lambda take: replace(call, inputs=rebuild(take), instruction=instruction(take))
        if isinstance(call, RateCall):
            prompt = self._prompt(call.prompt)
            continuations = self._all([self._input(each, "continuations") for each in call.continuations])
            definitions = self._definitions(call)
            return lambda take: replace(
                call, prompt=prompt(take), continuations=continuations(take), **definitions(take)
            )
        assert isinstance(call, Call), "calls generate, count, embed or rate"
        prompts = self._all([self._prompt(prompt) for prompt in call.prompts])
        definitions = self._definitions(call)
        grammar = self._optional(None if call.grammar is None else call.grammar.text)

        def rebuild_call(take: Take) -> C:
            changed: dict[str, Any] = {"prompts": prompts(take), **definitions(take)}
            text = grammar(take)
            if call.grammar is not None:
                changed["grammar"] = msgspec.structs.replace(call.grammar, text=text)
            return replace(call, **changed)

        return rebuild_call

    def _definitions(self, call: PromptedCall) -> Callable[[Take], dict[str, Any]]:
        """The tools and the template's options of a call."""
        if call.tools is None and not call.template_options:
            return lambda take: {}
        self._source = "definitions"
        tools = self._value(None if call.tools is None else list(call.tools.functions))
        options = self._value(dict(call.template_options))

        def rebuild(take: Take) -> dict[str, Any]:
            functions, changed = tools(take), {"template_options": options(take)}
            if call.tools is not None:
                changed["tools"] = msgspec.structs.replace(call.tools, functions=functions)
            return changed

        return rebuild

    def _prompt(self, prompt: Prompt) -> Callable[[Take], Prompt]:
        if prompt.tokens is not None and not self._takes_tokens:
            raise _unreadable("prompt")
        messages = None if prompt.messages is None else self._all([self._message(each) for each in prompt.messages])
        if messages is not None:  # They stand alone.
            return lambda take: replace(prompt, messages=messages(take))
        self._source = "user"
        user_text, text, suffix = map(self._optional, (prompt.user_text, prompt.text, prompt.suffix))
        return lambda take: replace(prompt, user_text=user_text(take), text=text(take), suffix=suffix(take))

    def _message(self, message: dict[str, Any]) -> Callable[[Take], dict[str, Any]]:
        self._source = _SOURCES.get(message.get("role"), "user")
        if message.keys() == _PLAIN_MESSAGE and type(content := message["content"]) is str:  # As most are.
            rebuild_content = self._text(content)
            return lambda take: message | {"content": rebuild_content(take)}
        fields = {name: self._optional(message.get(name)) for name in ("content", "reasoning_content", "name")}
        calls = message.get("tool_calls") or []
        arguments = [self._arguments(call["function"]["arguments"]) for call in calls]

        def rebuild(take: Take) -> dict[str, Any]:
            changed = {name: field(take) for name, field in fields.items()}
            rebuilt = message | {name: text for name, text in changed.items() if name in message}
            if calls:
                rebuilt["tool_calls"] = [
                    call | {"function": call["function"] | {"arguments": text(take)}}
                    for call, text in zip(calls, arguments, strict=True)
                ]
            return rebuilt

        return rebuild

    def _arguments(self, text: str) -> Callable[[Take], str]:
        """Arguments of a call are JSON: their strings are screened, however they are escaped."""
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return self._text(text)
        rebuild = self._value(value)

        def rebuild_arguments(take: Take) -> str:
            rebuilt = rebuild(take)
            return text if rebuilt == value else json.dumps(rebuilt, ensure_ascii=False)

        return rebuild_arguments

    def _value(self, value: Any) -> Callable[[Take], Any]:
        """The strings, names and numbers of a JSON value."""
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, list):
            return self._all([self._value(each) for each in value])
        if isinstance(value, dict):
            pairs = [(self._text(str(name)), self._value(each)) for name, each in value.items()]
            return lambda take: {name(take): each(take) for name, each in pairs}
        if isinstance(value, int | float) and not isinstance(value, bool):
            number = self._text(json.dumps(value))

            def rebuild(take: Take) -> Any:
                screened = number(take)
                return value if screened == json.dumps(value) else screened

            return rebuild
        return lambda take: value

    def _input(self, value: str | list[int], field: str = "input") -> Callable[[Take], str | list[int]]:
        if isinstance(value, list):
            raise _unreadable(field)
        return self._text(value)

    def _text(self, text: str) -> Callable[[Take], str]:
        self.found.append(text)
        self.sources.append(self._source)
        return lambda take: take()

    def _optional(self, text: Any) -> Callable[[Take], Any]:
        return self._text(text) if isinstance(text, str) else lambda take: text

    @staticmethod
    def _all(parts: Sequence[Callable[[Take], Any]]) -> Callable[[Take], list[Any]]:
        return lambda take: [part(take) for part in parts]


def _unreadable(field: str) -> BadRequest:
    return BadRequest(
        f"`{field}` has token ids, and a guardrail policy screens this call, which needs text. Send the text instead.",
        param=field,
    )
