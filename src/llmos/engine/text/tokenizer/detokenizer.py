"""Incremental decoding: tokens in, whole characters out."""

import codecs
from collections.abc import Callable


class Detokenizer:
    """Decodes the tokens of one answer. The pieces joined equal the decoding of all tokens at once."""

    def __init__(self, token_bytes: Callable[[int], bytes], *, strips_space: bool = False) -> None:
        """`strips_space`: remove one space at the beginning of the answer."""
        self._token_bytes = token_bytes
        self._strips_space = strips_space
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, token_id: int) -> str:
        """Return the characters that the token completes, "" if it ends inside a character."""
        data = self._token_bytes(token_id)
        if self._strips_space and data:
            self._strips_space = False
            data = data.removeprefix(b" ")
        return self._decoder.decode(data)

    def finish(self) -> str:
        """End the answer. Return U+FFFD if it ends inside a character, else ""."""
        return self._decoder.decode(b"", final=True)
