"""Prompting: the messages by which one segment is translated."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from llmos.applications.translate.languages import language_name
from llmos.applications.translate.pairs import Similar
from llmos.core.prompt_text import PromptText

Message = Mapping[str, str]

_MAX_NEIGHBOUR = 300
"""Characters of a neighbouring sentence that are shown."""

DEFAULT_PROMPT = """\
You translate from {{source}} to {{target}}. Answer with the translation alone, in {{target}}.
Keep names, numbers, tags and placeholders such as {name} as they are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Languages:
    """The codes of a pair of languages. An empty source is unknown."""

    source: str
    target: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """The parts of a prompt."""

    text: str
    before: str = ""
    """The sentence before it."""
    behind: str = ""
    examples: Sequence[Similar] = ()
    fault: str = ""
    """The fault of the last answer; empty for the first attempt."""


class Prompting:
    """Makes prompts out of the text of a system prompt with the variables {{source}} and {{target}}."""

    def __init__(self, prompt: str | Path, languages: Languages) -> None:
        names = {
            "source": language_name(languages.source) if languages.source else "any language",
            "target": language_name(languages.target),
        }
        text = PromptText.read(prompt)
        self._system = text.fill({name: value for name, value in names.items() if name in text.variables})
        self._request = f"Translate into {names['target']}: "

    def messages(self, asked: Asked) -> list[Message]:
        """Return the messages. Approved pairs are turns of the conversation: models follow examples best."""
        parts = [self._system]
        around = [(name, text[-_MAX_NEIGHBOUR:]) for name, text in (("Before", asked.before), ("After", asked.behind))]
        if asked.before or asked.behind:
            parts.append("What stands around the text, not to be translated:")
            parts += [f"{name}: {text}" for name, text in around if text]
        if asked.fault:
            parts.append(f"An earlier answer was refused: it {asked.fault}.")
        turns = [
            {"role": role, "content": content}
            for example in reversed(asked.examples)  # The most similar one stands last.
            for role, content in (
                ("user", self._request + example.pair.source),
                ("assistant", example.pair.target),
            )
        ]
        return [
            {"role": "system", "content": "\n".join(parts)},
            *turns,
            {"role": "user", "content": self._request + asked.text},
        ]
