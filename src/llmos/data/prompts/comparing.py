"""Compares two versions of a prompt: the lines of their texts, and what their variables take."""

import difflib
from collections.abc import Mapping

from llmos.core.prompt_text import PromptText
from llmos.core.prompt_variables import describe
from llmos.core.schemas.prompts import PromptDifference, PromptVariable, VariableChange


def compare(older: PromptText, newer: PromptText) -> PromptDifference:
    """Return what differs from the older to the newer one, which are called by their `source`."""
    before, after = older.text.splitlines(), newer.text.splitlines()
    lines = list(difflib.unified_diff(before, after, older.source, newer.source, lineterm=""))
    return PromptDifference(
        older=older.source,
        newer=newer.source,
        num_added=sum(line.startswith("+") for line in lines[2:]),
        num_removed=sum(line.startswith("-") for line in lines[2:]),
        lines=lines,
        variables=_changes(older.variables, newer.variables),
    )


def _changes(older: Mapping[str, PromptVariable], newer: Mapping[str, PromptVariable]) -> list[VariableChange]:
    found = []
    for name in [*older, *(name for name in newer if name not in older)]:
        was, now = older.get(name), newer.get(name)
        if was != now:
            change = "added" if was is None else "removed" if now is None else "changed"
            sentence = _sentence(name, was, now)
            found.append(VariableChange(name=name, change=change, was=was, now=now, sentence=sentence))
    return found


def _sentence(name: str, was: PromptVariable | None, now: PromptVariable | None) -> str:
    if now is None:
        return f"The variable {name} is gone."
    if was is None:
        return f"The variable {name} is new: {describe(now)}{_default(now)}."
    taken, takes = f"{describe(was)}{_default(was)}", f"{describe(now)}{_default(now)}"
    if taken == takes:
        return f"The variable {name} has another description."
    return f"The variable {name} takes {takes}; it took {taken}."


def _default(variable: PromptVariable) -> str:
    return "" if variable.default is None else f", by default {variable.default!r}"
