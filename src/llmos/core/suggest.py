"""Suggest what the caller probably meant."""

import difflib
from collections.abc import Collection, Iterable


def nearest(name: str, known: Iterable[str], limit: int = 3, cutoff: float = 0.5) -> list[str]:
    """Return up to `limit` of the known names that look most like `name`, best first. A `cutoff` of 1: equal names."""
    return difflib.get_close_matches(name, list(known), n=limit, cutoff=cutoff)


def did_you_mean(name: str, known: Collection[str]) -> str:
    """Return a sentence for an unknown name that lists similar known names, or all known names."""
    if similar := nearest(name, known):
        return f"Did you mean {' or '.join(similar)}?"
    return f"Known: {', '.join(known)}." if known else "There are none yet."
