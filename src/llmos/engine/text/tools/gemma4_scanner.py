"""One call as Gemma 4 writes it, scanned while it arrives and turned into JSON:

    call:rain{city:<|"|>Rome<|"|>,days:[1,2],note:{is_urgent:true}}

Keys are bare, and strings stand between <|"|> without any escapes. Keys and strings in JSON's quotes are read, too.
"""

import json
from collections.abc import Collection

from llmos.engine.text.tools.json_scanner import SCALAR, JsonStringScanner

QUOTE = '<|"|>'
_BEGINNING = "call:"
_SPACE = " \t\n\r"
_CLOSERS = {"{": "}", "[": "]"}
_LITERALS = {"None": "null", "True": "true", "False": "false"}
"""Some versions of the chat template render Python's names in earlier calls."""


class Gemma4Scanner:
    """Scans one call, beginning behind its tag. The name must be one of `names`."""

    def __init__(self, names: Collection[str]) -> None:
        self.name: str | None = None
        self.is_complete = False
        self._names = names
        self._head = ""
        self._arguments = _ArgumentsScanner()

    @property
    def is_known(self) -> bool:
        return self.name is not None

    def push(self, character: str) -> bool:
        """Add a character. Return False if it can't be part of a call. Push no more once the call is complete."""
        if self.name is not None:
            is_valid = self._arguments.push(character)
            self.is_complete = self._arguments.is_complete
            return is_valid
        if character == "{":
            name = self._head.lstrip(_SPACE).removeprefix(_BEGINNING).strip(_SPACE)
            self.name = name if self._head.lstrip(_SPACE).startswith(_BEGINNING) and name in self._names else None
            return self.name is not None and self._arguments.push(character)
        self._head += character
        head = self._head.lstrip(_SPACE)
        if len(head) <= len(_BEGINNING):
            return _BEGINNING.startswith(head)
        name = head.removeprefix(_BEGINNING).strip(_SPACE)
        return any(each.startswith(name) for each in self._names)

    def take_arguments(self) -> str:
        """Return the arguments, as JSON, that arrived since the last call. Only for a call that is known."""
        return self._arguments.take()


class _ArgumentsScanner:
    """Scans an object, beginning with its "{"."""

    def __init__(self) -> None:
        self.is_complete = False
        self._open: list[str] = []
        self._expects = "object"
        self._word = ""
        """A bare key, a number or a literal, as far as it has arrived; or the beginning of a quote."""
        self._string: _QuotedString | _JsonString | None = None
        self._pieces: list[str] = []

    def take(self) -> str:
        text = "".join(self._pieces)
        self._pieces.clear()
        return text

    def push(self, character: str) -> bool:
        """Add a character. Return False if it makes the object invalid."""
        if self._string is not None:
            return self._push_to_string(self._string, character)
        if self._expects == "quote":
            self._word += character
            if self._word == QUOTE:
                self._word = ""
                self._begin_string(_QuotedString())
            return QUOTE.startswith(self._word)
        if self._expects == "scalar":
            if character not in ",]}" + _SPACE:
                self._word += character
                return True
            if not self._end_scalar():
                return False
        if self._expects == "bare key":
            return self._push_to_key(character)
        return character in _SPACE or self._push_structural(character)

    def _push_structural(self, character: str) -> bool:
        """Add a character outside of strings, numbers, literals and bare keys."""
        expects = self._expects
        if expects in ("comma", "key or end", "value or end") and character == _CLOSERS[self._open[-1]]:
            self._open.pop()
            self._pieces.append(character)
            self._expects = "comma"
            self.is_complete = not self._open
            return True
        if expects == "comma" and character == ",":
            self._pieces.append(", ")
            self._expects = "key" if self._open[-1] == "{" else "value"
            return True
        if expects == "colon" and character == ":":
            self._pieces.append(": ")
            self._expects = "value"
            return True
        if expects in ("object", "value", "value or end") and character in ("{" if expects == "object" else "{["):
            self._open.append(character)
            self._pieces.append(character)
            self._expects = "key or end" if character == "{" else "value or end"
            return True
        if expects in ("key", "key or end", "value", "value or end"):
            return self._begin_word(character, is_key=expects.startswith("key"))
        return False

    def _begin_word(self, character: str, *, is_key: bool) -> bool:
        self._is_key = is_key
        if character == QUOTE[0]:
            self._word, self._expects = character, "quote"
        elif character == '"':
            self._begin_string(_JsonString())
        elif is_key:
            self._word, self._expects = character, "bare key"
            return character not in ":{}[],"
        else:
            self._word, self._expects = character, "scalar"
            return character in "-0123456789tfnTFN"
        return True

    def _begin_string(self, string: "_QuotedString | _JsonString") -> None:
        self._string = string
        self._pieces.append('"')

    def _push_to_string(self, string: "_QuotedString | _JsonString", character: str) -> bool:
        if not string.push(character):
            return False
        self._pieces.append(string.take())
        if string.is_complete:
            self._pieces.append('"')
            self._string, self._expects = None, "colon" if self._is_key else "comma"
        return True

    def _push_to_key(self, character: str) -> bool:
        if character == ":":
            self._pieces.append(json.dumps(self._word.rstrip(_SPACE), ensure_ascii=False) + ": ")
            self._word, self._expects = "", "value"
            return True
        self._word += character
        return character not in "{}[],<"

    def _end_scalar(self) -> bool:
        scalar = _LITERALS.get(self._word, self._word)
        self._word, self._expects = "", "comma"
        self._pieces.append(scalar)
        return SCALAR.fullmatch(scalar) is not None


class _QuotedString:
    """Scans a string behind its opening <|"|>, up to the closing one."""

    def __init__(self) -> None:
        self.is_complete = False
        self._held = ""
        """The held text, which may be the beginning of the closing quote."""
        self._text = ""

    def push(self, character: str) -> bool:
        self._held += character
        self.is_complete = self._held == QUOTE
        while not QUOTE.startswith(self._held):
            self._text += self._held[0]
            self._held = self._held[1:]
        return True

    def take(self) -> str:
        text, self._text = json.dumps(self._text, ensure_ascii=False)[1:-1], ""
        return text


class _JsonString:
    """Scans a string behind its opening ", up to the closing one, and leaves its escapes as they are."""

    def __init__(self) -> None:
        self._scanner = JsonStringScanner()
        self._text = ""

    @property
    def is_complete(self) -> bool:
        return self._scanner.is_complete

    def push(self, character: str) -> bool:
        is_valid = self._scanner.push(character)
        self._text += "" if self._scanner.is_complete else character
        return is_valid

    def take(self) -> str:
        text, self._text = self._text, ""
        return text
