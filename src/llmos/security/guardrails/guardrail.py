"""Guardrail: the interface of one check. A kind of guardrail is one file in kinds/.

A guardrail only finds; screening.py blocks, masks or flags what it finds, as the policy says.

    texts of a prompt   → screen_prompt → the pieces of each text
    chunks of an answer → screen_stream → Stream.push, …, Stream.finish → pieces, as early as they are certain
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import msgspec

Action = Literal["block", "mask", "placeholder", "flag"]
"""The treatment of a hit. mask: it is replaced by its kind, such as [EMAIL]. placeholder: in a prompt, it is replaced
by [EMAIL_1], which is replaced by the original text in the answer. flag: it is recorded, and the text passes."""

Side = Literal["input", "output"]


Channel = Literal["text", "reasoning", "arguments"]
"""A part of an answer: its text, its reasoning, or the arguments of one of its calls."""


Source = Literal["system", "user", "assistant", "tool", "definitions"]
"""The source of a text of a prompt. definitions: definitions of tools, grammars and options of templates."""


@dataclass(frozen=True, slots=True)
class Hit:
    """Something that the guardrail looks for."""

    rule: str
    """The kind of the hit, in lower case with underscores: "email"."""
    text: str = ""
    """The matched piece of the screened text. Empty for a property of the whole text, which can't be masked."""


Piece = str | Hit
"""A piece of a screened text. All pieces in order, with the hits' texts, are the text."""


def text_of(piece: Piece) -> str:
    return piece if isinstance(piece, str) else piece.text


class Stream(Protocol):
    """A text that arrives in chunks. However it is cut into chunks, the pieces are those of the whole text.

    Iterators may yield empty strings: between two pieces, the guardrail's time is checked.
    """

    def push(self, chunk: str) -> Iterator[Piece]:
        """Yield what is certain. What could still be the start of a hit is held back."""

    def finish(self) -> Iterator[Piece]:
        """Yield the rest: the text has ended."""

    def held(self) -> str:
        """Return what was pushed and hasn't been yielded."""


class EndingStream(ABC):
    """A stream that takes the last chunk of a text with less work than another one: nothing is held back."""

    @abstractmethod
    def end(self, chunk: str) -> Iterator[Piece]:
        """Yield all that is left. The text ends with the chunk."""


class Guardrail(Protocol):
    """One configured check. Kept for many calls; a call's state is in its streams."""

    actions: ClassVar[Sequence[Action]]
    """The actions that a policy may choose for hits; the first is the default."""
    sides: ClassVar[Sequence[Side]]
    channels: ClassVar[Sequence[Channel]]
    """The parts of an answer that it screens."""
    sources: Sequence[Source]
    """The texts of a prompt that it screens."""
    waits: ClassVar[bool]
    """It waits for another program. Its time is then that of a clock, instead of a processor's, and it is asked in a
    thread."""

    def screen_prompt(self, texts: Sequence[str], sources: Sequence[Source]) -> Iterator[Iterable[Piece]]:
        """Yield the pieces of each text of a prompt, in order. Each is read to its end before the next. `sources`: who
        each text is from, one of the guardrail's own."""

    def screen_stream(self) -> Stream:
        """Return a stream for a text of an answer."""


@runtime_checkable
class ModelGuardrail(Guardrail, Protocol):
    """A guardrail that judges a prompt by what the called model makes of it. See Screening.judge()."""

    rule: ClassVar[str]
    """The rule of its hits."""

    def is_hit(self, surprise: float | None) -> bool:
        """Return whether a text is one. `surprise`: in standard deviations above ordinary texts; None: it is too short
        to tell."""


@runtime_checkable
class QuickGuardrail(Guardrail, Protocol):
    """A guardrail that can tell at once that it finds nothing, as in most texts."""

    def finds_nothing(self, texts: Sequence[str]) -> bool:
        """Return True if none of these whole texts has a hit. False: one may have."""


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of a kind of guardrail. Subclasses document each."""


class Kind(Protocol):
    """The interface of a module of kinds/."""

    Options: type[Options]
    GUARDRAIL: type[Guardrail]
    """The class of what `open` returns."""

    def open(self, options: Any) -> Guardrail:
        """Raises BadRequest for options that can't be used."""


class OutOfTime(Exception):
    """A guardrail has used up its time."""


class GuardrailFailed(Exception):
    """A guardrail can't screen a text. The message says why, goes to the log, and has nothing of the text."""


ALL_ACTIONS: tuple[Action, ...] = ("block", "mask", "flag")
ALL_SOURCES: tuple[Source, ...] = ("system", "user", "assistant", "tool", "definitions")
BOTH_SIDES: tuple[Side, ...] = ("input", "output")
ALL_CHANNELS: tuple[Channel, ...] = ("text", "reasoning", "arguments")


def pieces_of(stream: Stream, text: str) -> Iterator[Piece]:
    """Yield the pieces of a text that is whole, or of the rest of one, with what was held back of it."""
    if isinstance(stream, EndingStream):
        return stream.end(text)
    return chain(stream.push(text), stream.finish())
