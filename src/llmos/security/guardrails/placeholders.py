"""Placeholders: what stands in a prompt for a hidden text, [EMAIL_1], and is replaced by it in the answer."""

import json
from collections.abc import Callable, Sequence
from typing import Protocol

from llmos.security.guardrails.guardrail import Hit
from llmos.security.guardrails.patterns import Pattern
from llmos.security.guardrails.scanner import Rule, RuleSet, Scanner


class Restore(Protocol):
    def __call__(self, text: str, *, is_complete: bool) -> str: ...


class Placeholders:
    """The placeholders of one call. Equal texts have one."""

    def __init__(self) -> None:
        self._hidden: dict[str, str] = {}
        """Placeholder -> text."""
        self._known: dict[tuple[str, str], str] = {}
        self._taken: Sequence[str] = ()

    def __bool__(self) -> bool:
        return bool(self._hidden)

    def avoid(self, texts: Sequence[str]) -> None:
        """Make no placeholder that is in one of these texts already."""
        self._taken = [*self._taken, *(text for text in texts if "[" in text)]

    def hide(self, rule: str, text: str) -> str:
        """Return the placeholder of a text."""
        known = self._known.get((rule, text))
        if known is None:
            number = sum(1 for each, _ in self._known if each == rule) + 1
            while any(f"[{rule.upper()}_{number}]" in taken for taken in self._taken) or (
                f"[{rule.upper()}_{number}]" in self._hidden
            ):
                number += 1
            known = f"[{rule.upper()}_{number}]"
            self._known[rule, text] = known
            self._hidden[known] = text
        return known

    def restoring(self, *, is_json: bool) -> Restore:
        """Return the function that puts the texts back into the chunks of an answer. `is_json`: escaped."""
        if not self._hidden:
            return lambda text, *, is_complete: text
        scanner = Scanner(self._rules())
        escape: Callable[[str], str] = (lambda text: json.dumps(text)[1:-1]) if is_json else str

        def restore(text: str, *, is_complete: bool) -> str:
            pieces = [*scanner.push(text), *(scanner.finish() if is_complete else ())]
            return "".join(escape(self._hidden[each.text]) if isinstance(each, Hit) else each for each in pieces)

        return restore

    def _rules(self) -> RuleSet:
        names = sorted({rule for rule, _ in self._known})
        return RuleSet([Rule(name, _pattern(name), self._confirm) for name in names])

    def _confirm(self, candidate: str) -> Sequence[tuple[int, int]]:
        return [(0, len(candidate))] if candidate in self._hidden else ()


_DIGITS = 6


def _pattern(rule: str) -> Pattern:
    """Return the pattern of a rule's placeholders. It is compiled once for all calls."""
    opening = rf"\[{rule.upper()}_"
    beginning = "(?:)"
    for character in reversed([r"\[", *rule.upper(), "_"]):
        beginning = f"(?:|{character}{beginning})"
    return Pattern(
        core=rf"{opening}[0-9]{{1,{_DIGITS}}}\]",
        beginning=f"(?:{beginning}|{opening}[0-9]{{0,{_DIGITS}}})",
        width=len(rule) + _DIGITS + 3,
    )
