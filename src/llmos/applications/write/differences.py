"""Differences: the changed words of two texts, and the figures and names among them. It asks no model."""

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from llmos.applications.figures import Figure, figures_in
from llmos.core.sentences import sentences_in

_PIECE = re.compile(r"\s+|[^\W_]+(?:['’][^\W_]+)*|[^\w\s]|_+")
_WORD = re.compile(r"[^\W\d_]+(?:[-'’][^\W\d_]+)*")


def word_diff(before: str, after: str) -> str:
    """Return the text with its changes, as `git diff --word-diff` shows them: [-old-]{+new+}."""
    old, new = _PIECE.findall(before), _PIECE.findall(after)
    parts = []
    for operation, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        removed, added = "".join(old[a:b]), "".join(new[c:d])
        if operation == "equal":
            parts.append(removed)
            continue
        parts.append((f"[-{removed}-]" if removed else "") + (f"{{+{added}+}}" if added else ""))
    return "".join(parts)


def changed_figures(before: str, after: str) -> list[str]:
    """Return the figures that only one of two texts has, or has more often."""
    old, new = figures_in(before), figures_in(after)
    return [*_without(old, new), *_without(new, old)]


def changed_names(before: str, after: str) -> list[str]:
    """Return the names that one text has and the other one hasn't: words with a capital letter within a sentence."""
    lost = {each for each in _names(before) if each.casefold() not in _words(after)}
    added = {each for each in _names(after) if each.casefold() not in _words(before)}
    return sorted(lost | added)


def _without(figures: Sequence[Figure], others: Sequence[Figure]) -> Iterator[str]:
    """Yield the figures that no other one stands for; each other one stands for one."""
    left = [each.readings for each in others]
    for each in figures:
        found = next((readings for readings in left if readings & each.readings), None)
        if found is None:
            yield each.text
        else:
            left.remove(found)


def _names(text: str) -> set[str]:
    """Return the words with a capital letter. The first one of a sentence counts if another name follows it."""
    found = set()
    for start, end in sentences_in(text):
        words = _WORD.findall(text[start:end])
        within = {each for each in words[1:] if each[0].isupper() and len(each) > 1 and each[:2] not in ("I'", "I’")}
        found |= within | {each for each in words[:1] if words[1:2] and words[1] in within}
    return found


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold()))
