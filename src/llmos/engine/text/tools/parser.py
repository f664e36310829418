"""The calls in what a model writes, taken out while it is written."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from llmos.core.ids import new_id
from llmos.engine.messages import ToolCallDelta
from llmos.engine.text.tools.call_scanner import CallScanner

Piece = str | ToolCallDelta
_SPACE = " \t\n\r"


@dataclass(frozen=True, kw_only=True, slots=True)
class CallSyntax:
    """How calls stand in the text:

        opening [ call separator call … ] closing

    with space anywhere between, and again from the opening on where it repeats.
    """

    opening: str = ""
    """"": calls stand at the very beginning or nowhere."""
    tag: str = ""
    """Then, what may stand before them."""
    is_list: bool = False
    """The calls of one opening stand in brackets."""
    separator: str = ""
    """"": there is one call to each opening."""
    closing: str = ""
    repeats: bool = False


class CallParser:
    """Takes text in any pieces and tells it on as text and calls.

    What is no call, or turns out to be none before its name and the beginning of its arguments have come, stays text to
    the byte. Of space, what stands around calls and nothing else goes with them, and a line break before the first.
    """

    def __init__(self, syntax: CallSyntax, names: Collection[str], *, max_calls: int | None = None) -> None:
        self.num_calls = 0
        self.has_incomplete_call = False
        """A call has no end."""
        self._syntax = syntax
        self._names = names
        self._max_calls = max_calls
        self._mode: Literal["text", "call", "behind"] = "text"
        self._buffer = ""
        """What is still to be looked at."""
        self._num_sure = 0
        """Of the buffer, how much begins no call."""
        self._is_fresh = True
        """Nothing but space was told since the last call, or since the beginning."""
        self._raw = ""
        """What was looked at of a call that is not told yet, with the space that would go with it."""
        self._reader: CallScanner | None = None
        self._is_told = False
        """The call's name was told."""
        self._pieces: list[Piece] = []

    def push(self, text: str) -> list[Piece]:
        """Return what can be told now."""
        self._buffer += text
        steps = {"text": self._read_text, "call": self._read_call, "behind": self._read_behind}
        while steps[self._mode]():
            pass
        return self._take()

    def finish(self) -> list[Piece]:
        """The text ends here: return what was held back."""
        if self._mode == "call":
            self.has_incomplete_call |= self._is_told
        rest = self._raw + self._buffer
        self._raw = self._buffer = ""
        if not (self._is_fresh and self.num_calls and not rest.strip(_SPACE)):
            self._tell(rest)
        return self._take()

    # --- a step returns False where it needs more text

    def _read_text(self) -> bool:
        opening, sure = self._syntax.opening, self._num_sure
        if not self._may_call():
            at, is_found = len(self._buffer), False
        elif opening:
            at = self._buffer.find(opening, sure)
            is_found = at >= 0
            if not is_found:
                at = len(self._buffer) - _num_shared(self._buffer[sure:], opening)
        else:
            rest = self._buffer.lstrip(_SPACE)
            at = len(self._buffer) - len(rest)
            opening = self._syntax.tag if rest.startswith(self._syntax.tag) else ""
            is_found = bool(rest) and (rest == opening or not self._syntax.tag.startswith(rest))
        begins = max(sure, at - self._num_space_before(at))
        self._tell(self._buffer[:begins])
        self._num_sure = 0
        if not is_found:
            self._buffer = self._buffer[begins:]
            return False
        self._begin_call(self._buffer[begins : at + len(opening)], self._buffer[at + len(opening) :])
        return True

    def _read_call(self) -> bool:
        reader = self._reader
        assert reader is not None
        num_read, is_right = 0, True
        while is_right and num_read < len(self._buffer) and not reader.is_complete:
            is_right = reader.push(self._buffer[num_read])
            num_read += is_right
        self._raw += self._buffer[:num_read]
        self._buffer = self._buffer[num_read:]
        if reader.is_known:
            self._tell_call(reader)
        if not is_right:
            self._refuse_call()
        elif reader.is_complete:
            self._mode, self._is_fresh = "behind", True
        else:
            return False
        return True

    def _read_behind(self) -> bool:
        """Whatever follows a whole call."""
        rest = self._buffer.lstrip(_SPACE)
        separator, closing = self._syntax.separator, self._syntax.closing
        if not rest or (closing != rest and closing.startswith(rest)):
            return False
        if separator and rest.startswith(separator) and not self._is_full():
            space = self._buffer[: len(self._buffer) - len(rest)]
            self._begin_call(space + separator, rest[len(separator) :], begins_list=False)
            return True
        if closing and rest.startswith(closing):
            self._buffer = rest[len(closing) :]
        self._mode = "text"
        return True

    # --- what the steps have in common

    def _may_call(self) -> bool:
        if not self._syntax.opening:
            return not self.num_calls and self._is_fresh and not self._num_sure
        return not self._is_full() and (self._syntax.repeats or not self.num_calls)

    def _is_full(self) -> bool:
        return self._max_calls is not None and self.num_calls >= self._max_calls

    def _num_space_before(self, end: int) -> int:
        """How much of the space before `end` would go with a call there."""
        before = self._buffer[:end]
        if self._is_fresh and not before.strip(_SPACE):
            return len(before)
        return int(before.endswith("\n")) if self._may_call() else 0

    def _begin_call(self, raw: str, rest: str, *, begins_list: bool | None = None) -> None:
        self._mode, self._raw, self._buffer, self._is_told = "call", raw, rest, False
        begins_list = self._syntax.is_list if begins_list is None else begins_list
        self._reader = CallScanner(self._names, begins_list=begins_list)

    def _tell_call(self, reader: CallScanner) -> None:
        arguments, self._raw = reader.take_arguments(), ""
        if not self._is_told:
            assert reader.name is not None
            self._pieces.append(ToolCallDelta(self.num_calls, new_id("call_"), reader.name, arguments))
            self.num_calls += 1
            self._is_told = True
        elif arguments:
            self._pieces.append(ToolCallDelta(self.num_calls - 1, arguments=arguments))

    def _refuse_call(self) -> None:
        """What was not told of the call is text, but for a call that may begin further on."""
        self.has_incomplete_call |= self._is_told
        self._is_fresh &= not self._is_told
        self._buffer, self._raw = self._raw + self._buffer, ""
        self._num_sure = 0 if self._is_told else len(self._buffer) - len(self._buffer.lstrip(_SPACE)) + 1
        self._mode = "text"

    def _tell(self, text: str) -> None:
        if text:
            self._is_fresh &= not text.strip(_SPACE)
            self._pieces.append(text)

    def _take(self) -> list[Piece]:
        pieces, self._pieces = self._pieces, []
        return pieces


def _num_shared(text: str, opening: str) -> int:
    """Return the length of the longest end of `text` that `opening` begins with."""
    longest = min(len(text), len(opening) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(opening[:n])), 0)
