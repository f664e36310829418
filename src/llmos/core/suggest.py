"""Name what the caller probably meant."""

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], limit: int = 3) -> list[str]:
    """Return up to `limit` of the known names that look most like `name`, best first."""
    return difflib.get_close_matches(name, list(known), n=limit, cutoff=0.5)
