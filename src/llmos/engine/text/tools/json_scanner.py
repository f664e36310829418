"""Validation of JSON that arrives character by character: where a JSON object or string ends, and where it is invalid.

Strict, as RFC 8259 defines it. Numbers and literals are checked when they end.
"""

import re

_SPACE = " \t\n\r"
SCALAR = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?|true|false|null")
_CLOSERS = {"{": "}", "[": "]"}


class JsonObjectScanner:
    """Scans one object, beginning with its "{"."""

    def __init__(self) -> None:
        self.is_complete = False
        self._open: list[str] = []
        self._expects = "object"
        self._string: JsonStringScanner | None = None
        self._scalar = ""

    def push(self, character: str) -> bool:
        """Add a character. Return False if it makes the object invalid. Push no more once it is complete."""
        if self._string is not None:
            if not self._string.push(character):
                return False
            if self._string.is_complete:
                self._string = None
            return True
        if self._scalar:
            if character not in ",]}" + _SPACE:
                self._scalar += character
                return True
            if not SCALAR.fullmatch(self._scalar):
                return False
            self._scalar = ""
        return character in _SPACE or self._push_structural(character)

    def _push_structural(self, character: str) -> bool:
        """Add a character outside of strings, numbers and literals."""
        expects = self._expects
        if expects in ("comma", "key or end", "value or end") and character == _CLOSERS[self._open[-1]]:
            self._open.pop()
            self._expects = "comma"
            self.is_complete = not self._open
            return True
        if expects == "comma" and character == ",":
            self._expects = "key" if self._open[-1] == "{" else "value"
            return True
        if expects == "colon" and character == ":":
            self._expects = "value"
            return True
        if expects in ("key", "key or end") and character == '"':
            self._expects, self._string = "colon", JsonStringScanner()
            return True
        return expects in ("object", "value", "value or end") and self._begin_value(character)

    def _begin_value(self, character: str) -> bool:
        if character == "{" or (character == "[" and self._expects != "object"):
            self._open.append(character)
            self._expects = "key or end" if character == "{" else "value or end"
            return True
        if self._expects == "object":
            return False
        self._expects = "comma"
        if character == '"':
            self._string = JsonStringScanner()
            return True
        self._scalar = character
        return character in "-0123456789tfn"


class JsonStringScanner:
    """Scans one string, beginning after its opening quote."""

    def __init__(self) -> None:
        self.is_complete = False
        self._escape = ""

    def push(self, character: str) -> bool:
        """Add a character. Return False if it makes the string invalid."""
        if self._escape:
            return self._push_escaped(character)
        if character == "\\":
            self._escape = character
        self.is_complete = character == '"'
        return character >= " "

    def _push_escaped(self, character: str) -> bool:
        if self._escape == "\\":
            self._escape = "u" if character == "u" else ""
            return character in '"\\/bfnrtu'
        self._escape = "" if len(self._escape) == 4 else self._escape + character
        return character in "0123456789abcdefABCDEF"
