"""Search: finds words in decrypted text, a limited amount of it at a time.

There is no index. One of plain words would undo the encryption, and one of keyed words would tell which texts share
words; reading a person's own conversations takes 0.1 s for some megabytes, which is years of them.
"""

from collections.abc import Iterable
from typing import Any

MAX_SCANNED = 4 << 20
"""The characters that one request reads. Whoever asks goes on where it has stopped."""

_BEFORE, _AFTER = 40, 120


class Search:
    """One search, which remembers how much it has read."""

    def __init__(self, query: str) -> None:
        self._words = query.casefold().split()
        self._num_scanned = 0

    @property
    def finds_all(self) -> bool:
        return not self._words

    @property
    def may_go_on(self) -> bool:
        return self._num_scanned < MAX_SCANNED

    def look(self, title: str, contents: Iterable[Any]) -> str | None:
        """Return the text around the first word that is found, or None unless all words occur."""
        texts = [title, *(text for content in contents for text in _texts(content))]
        self._num_scanned += sum(map(len, texts)) + 1
        folded = [text.casefold() for text in texts]
        if not all(any(word in text for text in folded) for word in self._words):
            return None
        return next(
            (_around(text, at) for text, fold in zip(texts, folded, strict=True) for at in self._places(fold)), ""
        )

    def _places(self, text: str) -> Iterable[int]:
        return (at for word in self._words if (at := text.find(word)) >= 0)


def _around(text: str, at: int) -> str:
    start, end = max(0, at - _BEFORE), at + _AFTER
    shown = " ".join(text[start:end].split())
    return f"{'…' if start else ''}{shown}{'…' if end < len(text) else ''}"


def _texts(content: Any) -> Iterable[str]:
    """Yield the texts of a message's content: it is one, or a list of parts."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for part in content:
            if isinstance(part, dict) and isinstance(part.get("text"), str):
                yield part["text"]
