"""PromptText: a text with typed variables, such as {{shop}}. Its front matter, in YAML, says what they take.

    ---
    shop: {type: string, max_length: 40}
    tone: {enum: [formal, friendly], default: friendly}
    ---
    You help the customers of {{shop}}. Be {{tone}}.

It knows no server.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from llmos.core.errors import BadRequest
from llmos.core.names import parse_reference
from llmos.core.prompt_variables import Value, check_value, describe, read_variables
from llmos.core.schemas.prompts import PromptVariable
from llmos.core.suggest import did_you_mean, nearest

MAX_BYTES = 262_144

_VARIABLE = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_FENCE = "---"
_SUFFIXES = (".md", ".txt")
_UNTYPED = PromptVariable()


def is_file_name(prompt: str) -> bool:
    """Return whether a prompt is the name of a file, and no text."""
    return "\n" not in prompt and prompt.endswith(_SUFFIXES)


def read_prompt_file(path: Path) -> str:
    """Return the text of a file. Raises BadRequest for one that can't be read."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadRequest(f"The prompt {path} can't be read: {error.strerror}.", param="prompt") from None
    except UnicodeDecodeError:
        raise BadRequest(f"The prompt {path} isn't text in UTF-8.", param="prompt") from None


@dataclass(frozen=True, slots=True)
class PromptText:
    """A text, and what each of its variables takes."""

    text: str
    """Without the front matter."""
    variables: Mapping[str, PromptVariable] = field(default_factory=dict)
    """The variables by name, in the order in which the text uses them."""
    source: str = "The prompt"
    """The name of the prompt in error messages, such as the name of its file."""

    @classmethod
    def read(cls, prompt: str | Path) -> "PromptText":
        """Return the prompt in a text, or in the file whose name ends in .md or .txt. Raises BadRequest."""
        text = str(prompt)
        return cls.parse(text) if not is_file_name(text) else cls.parse(read_prompt_file(Path(text)), text)

    @classmethod
    def parse(cls, text: str, source: str = "The prompt") -> "PromptText":
        """Return the prompt in a text with or without front matter. Raises BadRequest, in one line, for a wrong one."""
        _check_size(text, source)
        front, body = _split(text, source)
        return cls.typed(body, {} if front is None else _read_yaml(front, source), source)

    @classmethod
    def typed(cls, text: str, variables: Any, source: str = "The prompt") -> "PromptText":
        """Return the prompt of a text without front matter. `variables`: what would be there, an object.

        Raises BadRequest, in one line, for types that are wrong, and for a variable that the text doesn't have.
        """
        _check_size(text, source)
        declared, used = read_variables(variables, source), dict.fromkeys(_VARIABLE.findall(text))
        for name in declared:
            if name not in used:
                raise BadRequest(
                    f"{source} declares the variable {name!r:.80}, and its text has no {{{{{name:.80}}}}}."
                    f" {_nearest(name, list(used))}",
                    param="variables",
                )
        return cls(text.strip(), {name: declared.get(name, _UNTYPED) for name in used}, source)

    @property
    def needed(self) -> Collection[str]:
        """The variables without a default."""
        return [name for name, each in self.variables.items() if each.default is None]

    def values(self, given: Mapping[str, Any]) -> dict[str, Value]:
        """Return the values of all variables, with defaults for those that aren't given. Raises BadRequest."""
        for name in given:
            if name not in self.variables:
                raise BadRequest(
                    f"{self.source} has no variable {name!r:.80}. {_nearest(name, list(self.variables))}",
                    param="variables",
                )
        values: dict[str, Value] = {}
        for name, variable in self.variables.items():
            if name in given:
                values[name] = check_value(variable, given[name], f"{self.source}: the variable {name!r}")
            elif variable.default is not None:
                values[name] = variable.default
            else:
                raise BadRequest(f"{self.source} needs the variable {name!r}: {describe(variable)}.", param="variables")
        return values

    def fill(self, given: Mapping[str, Any]) -> str:
        """Return the text with its variables. Raises BadRequest that names a missing, an unknown or a wrong one.

        A value is never read again: what looks like a variable in it stays text.
        """
        values = self.values(given)
        return _VARIABLE.sub(lambda match: _written(values[match[1]]), self.text)

    def as_json(self) -> dict[str, Any]:
        """Return the text and the variables that have a type, as a Version's digest is made of them."""
        typed = {name: each for name, each in self.variables.items() if each != _UNTYPED}
        return {"text": self.text, "variables": msgspec.to_builtins(typed)}


@dataclass(slots=True)
class StoredPrompt:
    """A prompt that a server keeps: NAME, NAME:ALIAS or NAME@NUMBER. Raises BadRequest for what is none of these."""

    reference: str
    latest: PromptText = field(default_factory=lambda: PromptText(""), compare=False, repr=False)
    """The version that this process used last."""

    def __post_init__(self) -> None:
        parse_reference(self.reference, "prompt")

    @property
    def variables(self) -> Mapping[str, PromptVariable]:
        return self.latest.variables

    @property
    def needed(self) -> Collection[str]:
        return self.latest.needed

    def fill(self, given: Mapping[str, Any]) -> str:
        return self.latest.fill(given)


def _check_size(text: str, source: str) -> None:
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise BadRequest(f"{source} is larger than {MAX_BYTES // 1024} KB.", param="text")


def _split(text: str, source: str) -> tuple[str | None, str]:
    """Return the front matter, if there is any, and the rest."""
    lines = text.removeprefix("\ufeff").splitlines()
    if not lines or lines[0].rstrip() != _FENCE:
        return None, text
    for index, line in enumerate(lines[1:], 1):
        if line.rstrip() == _FENCE:
            # The empty line keeps the numbers of lines in errors.
            return "\n".join(["", *lines[1:index]]), "\n".join(lines[index + 1 :])
    raise BadRequest(f"{source}, line 1: the front matter begins here, and no line {_FENCE} ends it.", param="text")


def _read_yaml(text: str, source: str) -> Any:
    from llmos.core.yaml_text import read_yaml  # Most prompts have no front matter.

    return read_yaml(text, source)


def _nearest(name: str, known: list[str]) -> str:
    if near := nearest(name, known, limit=1):
        return f"Did you mean {near[0]!r}?"
    return did_you_mean(name, known) if known else "It has no variables."


def _written(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
