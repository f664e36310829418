"""JSON texts of callers, which may hold half a character."""

import re
from typing import Any

import msgspec

_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<lone>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.", re.S
)
"""An escape in a string: a pair of surrogates, which is one character, one half of a pair, or any other."""


def read_json(text: bytes) -> tuple[Any, bytes]:
    """Return the value in `text`, and the text that was read.

    A lone half of a surrogate pair becomes U+FFFD, as with Go and the browsers' TextEncoder: a JavaScript program that
    cuts a string inside an emoji sends one, with its whole history after it. Raises as msgspec.json.decode() does.
    """
    try:
        return msgspec.json.decode(text), text
    except msgspec.DecodeError:
        mended = _ESCAPE.sub(lambda found: rb"\ufffd" if found["lone"] else found[0], text)
        if mended == text:
            raise
        return msgspec.json.decode(mended), mended
