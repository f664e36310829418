"""WindowStream: a text that is judged in pieces of a few sentences, each of which is held back until it is long enough.

…already judged.│ Held back: the first sentence. The second one, which may
                └── judged when `length` characters are here, up to the last end of a sentence in them
"""

import re
from collections.abc import Callable, Iterable, Iterator

from llmos.security.guardrails.guardrail import Piece, text_of

Judge = Callable[[str], Iterable[Piece]]
"""Returns the pieces of a window. Depends on the window alone."""

_SENTENCE_END = re.compile(r"[.!?…]+[\"')\]]*\s+|[。！？]+|\n+")
_SPACE = re.compile(r"\s+")


def end_of_window(text: str, length: int) -> int:
    """Return where the first window of a text of at least `length` characters ends: behind a sentence, or a word."""
    for boundary in (_SENTENCE_END, _SPACE):
        ends = [found.end() for found in boundary.finditer(text, length // 4, length)]
        if ends:
            return ends[-1]
    return length


def windows_of(text: str, length: int) -> Iterator[str]:
    """Yield the windows of a whole text."""
    while len(text) >= length:
        end = end_of_window(text, length)
        yield text[:end]
        text = text[end:]
    if text:
        yield text


class WindowStream:
    """A Stream of what a judge finds in each window. How the text is cut into chunks changes no window."""

    def __init__(self, judge: Judge, length: int) -> None:
        self._judge, self._length = judge, length
        self._held = ""

    def push(self, chunk: str) -> Iterator[Piece]:
        self._held += chunk
        while len(self._held) >= self._length:
            yield from self._judged(end_of_window(self._held, self._length))

    def finish(self) -> Iterator[Piece]:
        if self._held:
            yield from self._judged(len(self._held))

    def held(self) -> str:
        return self._held

    def _judged(self, length: int) -> Iterator[Piece]:
        for piece in self._judge(self._held[:length]):
            self._held = self._held[len(text_of(piece)) :]
            yield piece
