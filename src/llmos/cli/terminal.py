"""Text in a terminal: characters that its locale doesn't have, and words that don't fit the line."""

import codecs
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress

_SUBSTITUTES = {"…": "...", "→": "->", "·": "-", "–": "-", "—": "-", "‘": "'", "’": "'", "“": '"', "”": '"', "•": "*"}


def accept_any_text() -> None:
    """Let every text be printed in every locale: what its encoding doesn't have becomes something like it, or a `?`.

    A command must not fail at its last line, when its work is done.
    """
    codecs.register_error("llmos.substitute", _substitute)
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError):  # not a text file, or closed
            if not is_utf8(stream.encoding):
                stream.reconfigure(errors="llmos.substitute")  # type: ignore[union-attr]


def is_utf8(encoding: str | None) -> bool:
    """Return whether the encoding has every character. None: text that is not encoded."""
    return encoding is None or encoding.lower().replace("-", "").replace("_", "") == "utf8"


def _substitute(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_SUBSTITUTES.get(each, "?") for each in error.object[error.start : error.end]), error.end


class WordWrap:
    """Writes a text that comes in pieces, and begins a new line before a word that doesn't fit the terminal's width.

    A word is written when its end is known, so a piece may wait for the next one. Words longer than a line are left to
    the terminal.
    """

    def __init__(self, width: int, write: Callable[[str], object]) -> None:
        self._width, self._write = width, write
        self._column = 0
        self._spaces = self._word = ""
        """The text that was held back: spaces, and the word after them as far as it is known."""

    def feed(self, text: str) -> None:
        for each in text:
            if each == "\n":
                self.flush()
                self._put("\n")
                self._column = 0
            elif each.isspace():
                if self._word:
                    self.flush()
                self._spaces += each
            else:
                self._word += each

    def flush(self) -> None:
        """Write what was held back."""
        from rich.cells import cell_len

        length, num_spaces = cell_len(self._word), len(self._spaces)
        if self._word and self._column and self._column + num_spaces + length > self._width:
            self._put("\n" + self._word)
            self._column = length
        else:
            self._put(self._spaces + self._word)
            self._column += num_spaces + length
        self._column = self._column if self._column <= self._width else self._column % self._width
        self._spaces = self._word = ""

    def _put(self, text: str) -> None:
        if text:
            self._write(text)


def answer_writer() -> tuple[Callable[[str], None], Callable[[], None]]:
    """Return a function that shows a piece of an answer at once, and one that shows what it held back."""

    def write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    if not sys.stdout.isatty():
        return write, lambda: None
    wrap = WordWrap(shutil.get_terminal_size().columns, write)
    return wrap.feed, wrap.flush
