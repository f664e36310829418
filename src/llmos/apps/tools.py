"""Tools: functions that a model may call. Whatever becomes of a call is one text for the model, never an exception."""

import asyncio
import copy
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

from llmos.apps.errors import StepFailed
from llmos.apps.functions import NotJSON, Operation, TookTooLong, digest_of, faults_of
from llmos.apps.live import LiveRun
from llmos.apps.results import ToolEvent
from llmos.apps.steps import Step
from llmos.client.answers import ToolCall
from llmos.client.mocked_calls import MockedCalls
from llmos.core.errors import NotRecorded
from llmos.core.schemas.runs import StepDescription

MAX_NAME = 64
"""The most characters of a name."""
CONFIRM = "confirm:"
"""The prefix of the signal that a run waits for before a call that needs a person's approval; the call's id follows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolOptions:
    """The options of a tool's calls."""

    seconds: float | None = 60.0
    """A call that takes longer is given up."""
    max_chars: int = 20_000
    """A longer result is an error."""
    confirm: bool = False
    """Each call waits for a person."""


class ToolFailed(Exception):
    """A call has no result; the message is for the model."""


class Tool:
    """An operation that a model may call, such as a function of the program."""

    def __init__(self, operation: Operation | Step[..., Any], options: ToolOptions) -> None:
        self.step = operation if isinstance(operation, Step) else None
        self.operation: Operation = operation.operation if isinstance(operation, Step) else operation
        self.name, self.options = self.operation.name, options

    def named(self, name: str) -> Self:
        """Return the tool under another name."""
        other = copy.copy(self)
        other.name = name[:MAX_NAME]
        return other

    @property
    def description(self) -> dict[str, Any]:
        """The tool as a model is told of it."""
        operation = self.operation
        function = {"name": self.name, "description": operation.description, "parameters": operation.parameters}
        return {"type": "function", "function": function}

    async def answer(self, live: LiveRun, call: ToolCall) -> None:
        """Do a call, and record its result. Raises Paused while a person must confirm it."""
        if live.recorded is not None:
            _repeat(live, call, live.recorded.tool(call.name, _plain(call)))
            return
        if live.mocks is not None and self._is_mocked(live, live.mocks, call):
            return
        began, state = time.monotonic(), "done"
        try:
            arguments = self._parse(call.arguments)
            if self.options.confirm:
                _check_confirmed(live.signal(CONFIRM + call.id, {"tool": self.name, "arguments": _plain(call)}))
            live.emit(ToolEvent(name=self.name, arguments=arguments, call_id=call.id, state="begun"))
            text = await self._call(arguments, is_dry=live.is_dry)
        except ToolFailed as error:
            state, text, arguments = "failed", f"Error: {error}", _plain(call)
        live.emit(_ended(self.name, arguments, call.id, state, text))
        live.record(tool_step(call, state, text, seconds=time.monotonic() - began))

    def _is_mocked(self, live: LiveRun, mocks: MockedCalls, call: ToolCall) -> bool:
        """Answer a call by a mock, and return whether there is one. Raises NotRecorded."""
        arguments = _plain(call)
        if (mock := mocks.find(self.name, arguments)) is None:
            if self.options.confirm or (self.step is not None and self.step.is_effect):
                mocks.check_effect(self.name)
            return False
        state = "failed" if mock.error else "done"
        text = f"Error: {self.name} failed: {mock.error}" if mock.error else _text_of(mock.result)
        live.emit(_ended(self.name, arguments, call.id, state, text))
        live.record(tool_step(call, state, text))
        return True

    @property
    def needs_run(self) -> bool:
        """A call waits for a person, or is kept by a journal."""
        return self.options.confirm or self.step is not None

    async def result(self, arguments: str) -> str:
        """Return the result of a call outside of a run. Raises ToolFailed."""
        return await self._call(self._parse(arguments), is_dry=False)

    def _parse(self, arguments: str) -> dict[str, Any]:
        try:
            return self.operation.parse(arguments)
        except ValueError as error:
            raise ToolFailed(f"the arguments of {self.name} are wrong: {faults_of(error)}.") from None

    async def _call(self, arguments: dict[str, Any], *, is_dry: bool) -> str:
        if is_dry:
            return "This is a dry run: the tool was not called."
        try:
            if self.step is not None:
                value = await self.step.awaited(**arguments)
            else:
                value = await self.operation.call(arguments, seconds=self.options.seconds)
            return self._text(value)
        except (ToolFailed, NotRecorded):
            raise
        except TookTooLong as error:
            raise ToolFailed(f"{self.name} failed: {error}") from None
        except StepFailed as error:
            raise ToolFailed(_line(f"{self.name} failed: {error.reason}")) from None
        except Exception as error:
            raise ToolFailed(_line(f"{self.name} failed: {type(error).__name__}: {error}")) from error

    def _text(self, value: Any) -> str:
        """Return the result as text. Raises ToolFailed for one that isn't JSON, or is too long."""
        try:
            text = _text_of(self.operation.dump(value))
        except (NotJSON, ValueError, TypeError):
            raise ToolFailed(
                f"{self.name} returned an object of the type {type(value).__name__}, which isn't JSON."
            ) from None
        if len(text) > self.options.max_chars:
            raise ToolFailed(
                f"{self.name} returned {len(text):,} characters; {self.options.max_chars:,} are allowed. Ask for less."
            )
        return text


class ToolSource(Protocol):
    """Gives an app tools that aren't functions of its program, such as those of an MCP server."""

    @property
    def name(self) -> str: ...
    async def tools(self) -> Sequence[Tool]:
        """Return the tools as they are now. It is asked before each answer of the model."""
        ...

    async def close(self) -> None:
        """Close the connection, if there is one. The next use opens it again."""
        ...


@dataclass(frozen=True, slots=True)
class Toolbox:
    """All tools of an app."""

    functions: dict[str, Tool] = field(default_factory=dict)
    sources: list[ToolSource] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.functions or self.sources)

    async def current(self) -> Mapping[str, Tool]:
        """Return the tools as they are now, by name. Tools of sources with a name that others have get a prefix."""
        if not self.sources:
            return self.functions
        lists = await asyncio.gather(*(source.tools() for source in self.sources))
        used = Counter([*self.functions, *(tool.name for tools in lists for tool in tools)])
        named = dict(self.functions)
        for source, tools in zip(self.sources, lists, strict=True):
            for tool in tools:
                each = tool if used[tool.name] == 1 else tool.named(f"{source.name}_{tool.name}")
                named.setdefault(each.name, each)
        return named


def find_done(live: LiveRun, call: ToolCall) -> bool:
    """Return whether a call has ended already, and take it as one of this run then."""
    known = live.known(f"tool:{call.id}")
    return known is not None and bool(live.repeat(known))


def tool_step(call: ToolCall, state: str, text: str, *, seconds: float = 0.0) -> StepDescription:
    """Return the step of a call that has ended. Its result is the message for the model."""
    arguments = _plain(call)
    return StepDescription(
        key=f"tool:{call.id}",
        kind="tool",
        name=call.name,
        digest=digest_of(arguments),
        state=state,
        arguments=arguments,
        result={"role": "tool", "tool_call_id": call.id, "content": text},
        seconds=seconds,
    )


def _repeat(live: LiveRun, call: ToolCall, known: StepDescription) -> None:
    """Answer a call with what it returned in another run."""
    text = str(known.result["content"])
    live.emit(_ended(call.name, _plain(call), call.id, known.state, text))
    live.record(tool_step(call, known.state, text))


def unknown_tool(live: LiveRun, call: ToolCall, names: list[str]) -> None:
    """Answer a call of a tool that there isn't."""
    text = f"Error: there is no tool {call.name[:64]!r}. The tools are {', '.join(names) or 'none'}."
    live.emit(_ended(call.name, _plain(call), call.id, "failed", text))
    live.record(tool_step(call, "failed", text))


def _text_of(value: Any) -> str:
    """Return the JSON of a result; a text as it is."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _line(text: str) -> str:
    """Return the first line, as valid Unicode, and not all of a long one."""
    return text.partition("\n")[0][:1000].encode(errors="replace").decode()


def _ended(name: str, arguments: Any, call_id: str, state: Any, text: str) -> ToolEvent:
    return ToolEvent(name=name, arguments=arguments, call_id=call_id, state=state, result=text)


def _plain(call: ToolCall) -> Any:
    """Return the arguments as the model wrote them."""
    try:
        return call.json()
    except ValueError:
        return call.arguments


def _check_confirmed(decision: Any) -> None:
    """Raise ToolFailed if the person said no: False, or {"approved": false, "reason": …}."""
    approved = decision.get("approved") if isinstance(decision, dict) else decision
    if not approved:
        reason = f": {decision['reason']}" if isinstance(decision, dict) and decision.get("reason") else "."
        raise ToolFailed(f"a person declined this call{reason}")
