"""One call as models write it, {"name": "f", "arguments": {…}}, scanned while it arrives."""

import json
from collections.abc import Collection

from llmos.engine.text.tools.json_scanner import JsonObjectScanner, JsonStringScanner

_SPACE = " \t\n\r"
_IGNORED_KEYS = ("id", "type")
"""Keys that some models add and that we don't need."""


class CallScanner:
    """Scans one call, beginning before its "{", or before the "[" of the list whose first element it is.

    The name must be one of `names`; the keys may have any order. Text is certain to be a call (`is_known`) once its
    name is complete and its arguments have begun. Until then it may turn out to be ordinary text.
    """

    def __init__(self, names: Collection[str], *, begins_list: bool = False) -> None:
        self.name: str | None = None
        self.is_complete = False
        self._names = names
        self._expects = "list" if begins_list else "object"
        self._key = ""
        self._raw = ""
        self._string: JsonStringScanner | None = None
        self._arguments: JsonObjectScanner | None = None
        self._has_arguments = False
        self._pieces: list[str] = []

    @property
    def is_known(self) -> bool:
        return self.name is not None and self._has_arguments

    def push(self, character: str) -> bool:
        """Add a character. Return False if it can't be part of a call. Push no more once the call is complete."""
        if self._arguments is not None:
            if not self._arguments.push(character):
                return False
            self._pieces.append(character)
            if self._arguments.is_complete:
                self._arguments, self._expects = None, "comma"
            return True
        if self._string is not None:
            self._raw += character
            if not self._string.push(character):
                return False
            return self._end_string() if self._string.is_complete else True
        return character in _SPACE or self._push_structural(character)

    def take_arguments(self) -> str:
        """Return the arguments that arrived since the last call. Only for a call that is known."""
        text = "".join(self._pieces)
        self._pieces.clear()
        return text

    def _push_structural(self, character: str) -> bool:
        """Add a character outside of strings and arguments."""
        expects = self._expects
        if (expects, character) == ("list", "["):
            self._expects = "object"
        elif (expects, character) == ("object", "{") or (expects, character) == ("comma", ","):
            self._expects = "key"
        elif (expects, character) == ("colon", ":"):
            self._expects = "value"
        elif (expects, character) == ("comma", "}"):
            self.is_complete = self.is_known
            return self.is_complete
        elif expects == "value" and self._key in ("arguments", "parameters"):
            if character != "{":
                return False
            self._arguments, self._has_arguments = JsonObjectScanner(), True
            return self.push(character)
        elif expects in ("key", "value") and character == '"':
            self._string, self._raw = JsonStringScanner(), character
        else:
            return False
        return True

    def _end_string(self) -> bool:
        text = json.loads(self._raw)
        self._string = None
        if self._expects == "key":
            is_new = (text not in ("arguments", "parameters") or not self._has_arguments) and (
                text != "name" or self.name is None
            )
            self._key, self._expects = text, "colon"
            return is_new and text in ("name", "arguments", "parameters", *_IGNORED_KEYS)
        self._expects = "comma"
        if self._key == "name":
            self.name = text if text in self._names else None
        return self._key != "name" or self.name is not None
