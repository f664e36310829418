"""Tokens in, whole characters out, as soon as they are whole."""

import codecs
from collections.abc import Callable


class Detokenizer:
    """Turns one answer's tokens into text. The pieces joined equal the decoding of all its tokens at once."""

    def __init__(self, token_bytes: Callable[[int], bytes], *, strips_space: bool = False) -> None:
        self._token_bytes = token_bytes
        self._strips_space = strips_space
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, token_id: int) -> str:
        """Return what the token completes: "" while a character is still open. Never half a character."""
        data = self._token_bytes(token_id)
        if self._strips_space and data:
            self._strips_space = False
            data = data.removeprefix(b" ")
        return self._decoder.decode(data)

    def finish(self) -> str:
        """Return what is left: U+FFFD where the answer ended inside a character."""
        return self._decoder.decode(b"", final=True)
