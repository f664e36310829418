"""An answer while it is being written."""

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

    @property
    def has_begun(self) -> bool:
        """Something of it was told."""
        return bool(self.text or self.reasoning or self.tool_calls)

    def call(self, index: int, id: str, name: str, arguments: str) -> None:
        """Note what is said of a call. Raises MalformedReply for one out of turn."""
        if index == len(self.tool_calls) and id and name:
            self.tool_calls.append(ToolCall(id=id, name=name, arguments=arguments))
        elif 0 <= index < len(self.tool_calls):
            begun = self.tool_calls[index]
            self.tool_calls[index] = replace(begun, arguments=begun.arguments + arguments)
        else:
            raise MalformedReply

    def finished(self) -> Answer:
        """Return the answer. Raises MalformedReply when a part of it never came."""
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
        )


class StreamFacts:
    """What a stream knows about its answer: the text so far, and the rest once the answer has ended (None before)."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft

    @property
    def model(self) -> str:
        """The name that was asked."""
        return self._draft.model

    @property
    def text(self) -> str:
        """All pieces so far, joined."""
        return self._draft.text

    @property
    def reasoning(self) -> str:
        """What the model has thought so far, where its template sets that apart."""
        return self._draft.reasoning

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls so far; the last one's arguments are whole when the answer has ended."""
        return tuple(self._draft.tool_calls)

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
