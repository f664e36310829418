"""An answer while it is being received."""

from dataclasses import dataclass, field, replace

from llmos.client.answers import Answer, ToolCall, Usage


class MalformedReply(Exception):
    """The reply is not what an LLMOS server sends."""


@dataclass(slots=True)
class Draft:
    model: str
    id: str | None = None
    version: str | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    text: str = ""
    reasoning: str = ""
    tool_calls: list[ToolCall] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def has_begun(self) -> bool:
        """The caller has seen a part of it."""
        return bool(self.text or self.reasoning or self.tool_calls)

    def add_tool_call(self, index: int, id: str, name: str, arguments: str) -> None:
        """Add a part of a tool call. Raises MalformedReply if it is out of order."""
        if index == len(self.tool_calls) and id and name:
            self.tool_calls.append(ToolCall(id=id, name=name, arguments=arguments))
        elif 0 <= index < len(self.tool_calls):
            call = self.tool_calls[index]
            self.tool_calls[index] = replace(call, arguments=call.arguments + arguments)
        else:
            raise MalformedReply

    def finished(self) -> Answer:
        """Return the complete answer. Raises MalformedReply if a part of it is missing."""
        if self.id is None or self.version is None or self.finish_reason is None or self.usage is None:
            raise MalformedReply
        return Answer(
            id=self.id,
            text=self.text,
            model=self.model,
            version=self.version,
            finish_reason=self.finish_reason,
            usage=self.usage,
            reasoning=self.reasoning,
            tool_calls=tuple(self.tool_calls),
            warnings=tuple(self.warnings),
        )


class StreamFacts:
    """The answer of a stream: the text so far, and the rest once the answer is complete (None before)."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft

    @property
    def model(self) -> str:
        """The name that was asked for."""
        return self._draft.model

    @property
    def text(self) -> str:
        """All pieces so far, joined."""
        return self._draft.text

    @property
    def reasoning(self) -> str:
        """The model's reasoning so far, if its template marks it."""
        return self._draft.reasoning

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls so far; the arguments of the last one are complete when the answer is."""
        return tuple(self._draft.tool_calls)

    @property
    def warnings(self) -> tuple[str, ...]:
        """The faults of tool calls, once the answer is complete."""
        return tuple(self._draft.warnings)

    @property
    def answer(self) -> Answer:
        """The complete answer, after the last piece."""
        return self._draft.finished()

    @property
    def id(self) -> str | None:
        return self._draft.id

    @property
    def version(self) -> str | None:
        return self._draft.version

    @property
    def finish_reason(self) -> str | None:
        return self._draft.finish_reason

    @property
    def usage(self) -> Usage | None:
        return self._draft.usage
