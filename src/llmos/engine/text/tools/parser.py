"""Parses tool calls out of a model's text while it arrives."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal, Protocol

from llmos.core.ids import new_id
from llmos.engine.messages import ToolCallDelta
from llmos.engine.text.partial_match import partial_match
from llmos.engine.text.tools.call_scanner import CallScanner

Piece = str | ToolCallDelta
_SPACE = " \t\n\r"


class Scanner(Protocol):
    """Scans one call while it arrives. See CallScanner for what its methods promise."""

    name: str | None
    is_complete: bool

    @property
    def is_known(self) -> bool: ...

    def push(self, character: str) -> bool: ...

    def take_arguments(self) -> str: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class CallSyntax:
    """The syntax of a model's calls:

        opening [ call separator call … ] closing

    with space anywhere between. If it repeats, another opening may follow.
    """

    opening: str = ""
    """"": calls stand at the very beginning of the text or nowhere."""
    tag: str = ""
    """Without an opening: an optional tag before the calls."""
    is_list: bool = False
    """The calls after one opening stand in brackets."""
    separator: str = ""
    """"": one call per opening."""
    closing: str = ""
    repeats: bool = False
    space: str = "\n"
    """The text that the model writes between a tag and a call, and between calls."""
    scanner: Callable[[Collection[str]], Scanner] | None = None
    """Scans a call that isn't JSON, given the names of the functions. None: CallScanner."""


class CallParser:
    """Splits text, which may come in pieces of any length, into text and calls.

    What may be a call is held back until its name is complete and its arguments have begun; if it turns out to be
    ordinary text, it is returned unchanged. Three kinds of space are dropped: space between calls, space before a call
    at the beginning of the text, and one newline before the first call.
    """

    def __init__(
        self, syntax: CallSyntax, names: Collection[str], *, max_calls: int | None = None, must_call: bool = False
    ) -> None:
        """`names`: of the functions that may be called. After `max_calls` calls everything is text. `must_call`: the
        answer is nothing but calls."""
        self.num_calls = 0
        self.has_incomplete_call = False
        """A reported call is incomplete."""
        self._syntax = syntax
        self._names = names
        self._max_calls = max_calls
        self._must_call = must_call
        self._state: Literal["text", "call", "after call"] = "text"
        self._buffer = ""
        """Text that is still to be parsed."""
        self._num_checked = 0
        """Length of the beginning of the buffer that begins no call."""
        self._only_space = True
        """All text since the last call, or since the beginning, is space."""
        self._raw = ""
        """The unreported text of the current call, with the space before it."""
        self._scanner: Scanner | None = None
        self._is_reported = False
        """The name of the current call was reported."""
        self._pieces: list[Piece] = []

    @property
    def is_in_call(self) -> bool:
        """The text so far ends inside a call, or what looks like one."""
        return self._state == "call"

    def push(self, text: str) -> list[Piece]:
        """Add text. Return the text and calls that are certain by now."""
        self._buffer += text
        steps = {"text": self._parse_text, "call": self._parse_call, "after call": self._parse_after_call}
        while steps[self._state]():
            pass
        return self._take()

    def finish(self, *, is_cut: bool = False) -> list[Piece]:
        """End the text. Return what was held back.

        `is_cut`: the model had more to say. What it had begun to write of a call's syntax is then no text.
        """
        if self._state == "call":
            self.has_incomplete_call |= self._is_reported
        rest = self._raw + self._buffer
        if is_cut:
            rest = rest[: len(rest) - self._num_begun(rest)]
        self._raw = self._buffer = ""
        if not (self._only_space and self.num_calls and not rest.strip(_SPACE)):
            self._report_text(rest)
        return self._take()

    def _num_begun(self, rest: str) -> int:
        """Return the length of the end of what was held back that can only be a call's syntax."""
        syntax, text = self._syntax, rest.strip(_SPACE)
        if self._must_call:
            return len(rest)
        if self._state == "after call":
            return len(rest) if syntax.closing.startswith(text) else 0
        if self._state == "call":
            # Without an opening, a brace alone may also begin an answer in JSON.
            return len(rest) if syntax.opening or '"' in rest else 0
        num_begun = partial_match(rest, syntax.opening or syntax.tag)
        if num_begun > 1 or (num_begun and self.num_calls and self._only_space):
            before = rest[: len(rest) - num_begun]
            return num_begun + (len(before) if not before.strip(_SPACE) else int(before.endswith("\n")))
        return 0

    # --- parsing steps: each returns False if it needs more text

    def _parse_text(self) -> bool:
        opening, checked = self._syntax.opening, self._num_checked
        if not self._may_call():
            at, is_found = len(self._buffer), False
        elif opening:
            at = self._buffer.find(opening, checked)
            is_found = at >= 0
            if not is_found:
                at = len(self._buffer) - partial_match(self._buffer[checked:], opening)
        else:
            rest = self._buffer.lstrip(_SPACE)
            at = len(self._buffer) - len(rest)
            opening = self._syntax.tag if rest.startswith(self._syntax.tag) else ""
            is_found = bool(rest) and (rest == opening or not self._syntax.tag.startswith(rest))
        begin = max(checked, at - self._num_droppable_spaces(at))
        self._report_text(self._buffer[:begin])
        self._num_checked = 0
        if not is_found:
            self._buffer = self._buffer[begin:]
            return False
        self._begin_call(self._buffer[begin : at + len(opening)], self._buffer[at + len(opening) :])
        return True

    def _parse_call(self) -> bool:
        scanner = self._scanner
        assert scanner is not None
        num_scanned, is_valid = 0, True
        while is_valid and num_scanned < len(self._buffer) and not scanner.is_complete:
            is_valid = scanner.push(self._buffer[num_scanned])
            num_scanned += is_valid
        self._raw += self._buffer[:num_scanned]
        self._buffer = self._buffer[num_scanned:]
        if scanner.is_known:
            self._report_call(scanner)
        if not is_valid:
            self._reject_call()
        elif scanner.is_complete:
            self._state, self._only_space = "after call", True
        else:
            return False
        return True

    def _parse_after_call(self) -> bool:
        """Parse a separator or the closing, if there is one."""
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
        self._state = "text"
        return True

    # --- helpers of the steps

    def _may_call(self) -> bool:
        if not self._syntax.opening:
            return not self.num_calls and self._only_space and not self._num_checked
        return not self._is_full() and (self._syntax.repeats or not self.num_calls)

    def _is_full(self) -> bool:
        return self._max_calls is not None and self.num_calls >= self._max_calls

    def _num_droppable_spaces(self, end: int) -> int:
        """Return how much of the space before `end` is dropped if a call begins there."""
        before = self._buffer[:end]
        if self._only_space and not before.strip(_SPACE):
            return len(before)
        return int(before.endswith("\n")) if self._may_call() else 0

    def _begin_call(self, raw: str, rest: str, *, begins_list: bool | None = None) -> None:
        self._state, self._raw, self._buffer, self._is_reported = "call", raw, rest, False
        if self._syntax.scanner is not None:
            self._scanner = self._syntax.scanner(self._names)
            return
        begins_list = self._syntax.is_list if begins_list is None else begins_list
        self._scanner = CallScanner(self._names, begins_list=begins_list)

    def _report_call(self, scanner: Scanner) -> None:
        arguments, self._raw = scanner.take_arguments(), ""
        if not self._is_reported:
            assert scanner.name is not None
            self._pieces.append(ToolCallDelta(self.num_calls, new_id("call_"), scanner.name, arguments))
            self.num_calls += 1
            self._is_reported = True
        elif arguments:
            self._pieces.append(ToolCallDelta(self.num_calls - 1, arguments=arguments))

    def _reject_call(self) -> None:
        """Return the unreported part of an invalid call to the buffer, as text in which another call may begin."""
        self.has_incomplete_call |= self._is_reported
        self._only_space &= not self._is_reported
        self._buffer, self._raw = self._raw + self._buffer, ""
        self._num_checked = 0 if self._is_reported else len(self._buffer) - len(self._buffer.lstrip(_SPACE)) + 1
        self._state = "text"

    def _report_text(self, text: str) -> None:
        if text:
            self._only_space &= not text.strip(_SPACE)
            self._pieces.append(text)

    def _take(self) -> list[Piece]:
        pieces, self._pieces = self._pieces, []
        return pieces
