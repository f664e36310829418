"""Attacks and benign prompts in fourteen languages, from templates of ours in templates/, a file for each language.

[attack override]     the templates of a family; those of attacks.py have the same names
[benign trap]         the templates of a kind of benign prompts
[slot goal]           what stands in for {goal}
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from random import Random

from prompt_injection import attacks

_FOLDER = Path(__file__).parent / "templates"
_HEADING = re.compile(r"\[(attack|benign|slot) (\w+)\]")
_SLOT = re.compile(r"\{([a-z]+)\}")

LANGUAGES = tuple(sorted(path.stem for path in _FOLDER.glob("*.txt")))


@dataclass(frozen=True, slots=True)
class Templates:
    attack: dict[str, list[str]] = field(default_factory=dict)
    """By family."""
    benign: dict[str, list[str]] = field(default_factory=dict)
    """By kind."""
    slot: dict[str, list[str]] = field(default_factory=dict)

    def fill(self, template: str, random: Random) -> str:
        """Replace the slots of a template, and those of what replaces them; by those of attacks.py if it has no own."""
        while any(found[1] in self.slot or found[1] in attacks.SLOTS for found in _SLOT.finditer(template)):
            template = _SLOT.sub(lambda found: self._choice(found, random), template)
        return template.replace("\\n", "\n").strip()

    def _choice(self, found: re.Match[str], random: Random) -> str:
        choices = self.slot.get(found[1]) or attacks.SLOTS.get(found[1])
        # Documents of others have braces of their own.
        return found[0] if choices is None else random.choice(choices)


@cache
def templates(language: str) -> Templates:
    """Return the templates of a language."""
    found = Templates()
    lines: list[str] = []
    for line in (_FOLDER / f"{language}.txt").read_text(encoding="utf-8").splitlines():
        if heading := _HEADING.fullmatch(line):
            by_name: Mapping[str, dict[str, list[str]]] = {
                "attack": found.attack, "benign": found.benign, "slot": found.slot
            }  # fmt: skip
            lines = by_name[heading[1]].setdefault(heading[2], [])
        elif line and not line.startswith("# "):
            lines.append(line)
    return found


def with_documents(language: str, documents: Sequence[str]) -> Templates:
    """Return the templates of a language with further texts to put attacks into: none is to be a sign of one."""
    own = templates(language)
    return replace(own, slot={**own.slot, "doc": [*own.slot["doc"], *documents]})


def attack(own: Templates, family: str, random: Random) -> tuple[int, str]:
    """Return one attack of a family, after the number of its template."""
    number = random.randrange(len(own.attack[family]))
    text = own.fill(own.attack[family][number], random)
    style: Callable[[str], str] = random.choice([str, str, str, str.lower, str.upper, _without_end])
    return number, style(text)


def benign(own: Templates, kind: str, random: Random) -> str:
    """Return one benign prompt of a kind."""
    text = own.fill(random.choice(own.benign[kind]), random)
    style: Callable[[str], str] = random.choice([str, str, str, str.lower, _without_end])
    return style(text)


def _without_end(text: str) -> str:
    return text.rstrip(".!。।")
