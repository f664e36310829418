"""Lists of tensor and file names for error messages."""

import re
from collections.abc import Iterable


def format_names(names: Iterable[str], limit: int = 200) -> str:
    """Join names with commas, sorted by layer number. After `limit` names only their count follows: a damaged file may
    lack thousands."""
    ordered = sorted(
        names, key=lambda name: [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]
    )
    more = f" and {len(ordered) - limit:,} more" if len(ordered) > limit else ""
    return ", ".join(ordered[:limit]) + more
