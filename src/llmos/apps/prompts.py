"""Prompts: texts with variables, such as {{shop}}, in the program or in a file."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmos.core.errors import BadRequest
from llmos.core.suggest import nearest

_VARIABLE = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_SUFFIXES = (".md", ".txt")


@dataclass(frozen=True, slots=True)
class PromptText:
    """A prompt and the names of its variables."""

    text: str
    variables: frozenset[str]

    @classmethod
    def read(cls, prompt: str | Path) -> "PromptText":
        """Return a text, or that of a file whose name ends in .md or .txt. Raises BadRequest for a missing file."""
        text = str(prompt)
        if "\n" not in text and text.endswith(_SUFFIXES):
            try:
                text = Path(text).read_text()
            except OSError as error:
                raise BadRequest(f"The prompt {prompt} can't be read: {error.strerror}.", param="prompt") from None
        return cls(text.strip(), frozenset(_VARIABLE.findall(text)))

    def fill(self, given: Mapping[str, Any]) -> str:
        """Return the text with its variables. Raises BadRequest that names a missing or an unknown one."""
        if missing := sorted(self.variables - given.keys()):
            raise BadRequest(f"The prompt needs the variable {missing[0]!r}: run(…, variables={{{missing[0]!r}: …}}).")
        if unknown := sorted(given.keys() - self.variables):
            near = nearest(unknown[0], [*self.variables], limit=1)
            advice = f"Did you mean {near[0]!r}?" if near else f"It has {', '.join(sorted(self.variables)) or 'none'}."
            raise BadRequest(f"The prompt has no variable {unknown[0]!r}. {advice}")
        for name, value in given.items():
            if not isinstance(value, str | int | float):
                raise BadRequest(f"The variable {name!r} is {type(value).__name__}; it takes a text or a number.")
        return _VARIABLE.sub(lambda match: str(given[match[1]]), self.text)
