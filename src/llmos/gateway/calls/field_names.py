"""Field names: what a wire format calls the fields that the engine names in its errors."""

import re
from collections.abc import Mapping

from llmos.core.errors import LLMOSError


class FieldNames:
    """The names of one wire format, for the engine's.

    `names`: the engine's name -> the caller's, such as max_tokens -> max_output_tokens. In a path with an index the
    name has `{}` in its place: tools[{}].function -> tools[{}]. The first that fits counts.
    """

    def __init__(self, names: Mapping[str, str] | None = None) -> None:
        self._names = [
            (re.escape(ours).replace(r"\{\}", r"(\d+)"), theirs.replace("{}", r"\1"))
            for ours, theirs in (names or {}).items()
        ]

    def name(self, ours: str) -> str:
        """Return the caller's name of a field, whatever is behind it in the path."""
        for pattern, theirs in self._names:
            if found := re.match(rf"{pattern}(?!\w)", ours):
                return found.expand(theirs) + ours[found.end() :]
        return ours

    def rename(self, error: LLMOSError) -> None:
        """Make the error name the caller's fields: `param`, and the message wherever it names a field."""
        if error.param is not None:
            error.param = self.name(error.param)
        message = re.sub(r"`([^`]+)`", lambda quoted: f"`{self.name(quoted[1])}`", error.message)
        # Without quotes, only what can't be an English word, and what the sentence is about.
        error.message = re.sub(r"(?<![\w.])[a-z]+(?:_[a-z]+)+\b|^[a-z]+\b", lambda word: self.name(word[0]), message)


OPENAI = FieldNames()
"""The engine's own names, which are OpenAI's."""
