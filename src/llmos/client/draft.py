"""An answer while it is being written."""

from dataclasses import dataclass

from llmos.client.answers import Answer, Usage


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
