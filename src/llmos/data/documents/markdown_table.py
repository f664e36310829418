"""Tables as Markdown: one line for each row, the first of which is the header."""

import re
from collections.abc import Sequence

_SPACES = re.compile(r"\s+")


def render_table(rows: Sequence[Sequence[str]]) -> str:
    """Return the table. Rows may be shorter than others; there is at least one."""
    width = max(map(len, rows))
    header = [*rows[0], *[""] * (width - len(rows[0]))]
    return "\n".join([_line(header), f"|{' --- |' * width}", *map(_line, rows[1:])])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_escaped, cells))} |"


def _escaped(cell: str) -> str:
    return _SPACES.sub(" ", cell).strip().replace("\\", "\\\\").replace("|", "\\|")
