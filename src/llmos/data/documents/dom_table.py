"""The cells of an HTML table as rows of texts, with cells that span several rows or columns."""

from collections.abc import Sequence
from dataclasses import dataclass, field

MAX_SPAN = 1000
"""The most columns that the HTML standard lets a cell span."""

_MAX_PLACES = 1_000_000


@dataclass(frozen=True, slots=True)
class Cell:
    text: str
    num_columns: int = 1
    num_rows: int = 1


@dataclass(slots=True)
class TableCells:
    """Collects the cells of a table as its elements begin and end."""

    rows: list[list[Cell]] = field(default_factory=list)
    parts: list[str] | None = None
    """The text of the open cell; None outside of cells."""
    _spans: tuple[int, int] = (1, 1)

    def start_row(self) -> None:
        self.end_cell()
        self.rows.append([])

    def start_cell(self, num_columns: int, num_rows: int) -> None:
        self.end_cell()
        self.parts, self._spans = [], (num_columns, num_rows)

    def end_cell(self) -> None:
        if self.parts is None:
            return
        if not self.rows:
            self.rows.append([])
        self.rows[-1].append(Cell(" ".join("".join(self.parts).split()), *self._spans))
        self.parts = None

    def finish(self) -> tuple[list[list[str]], str]:
        """Return the rows of texts that aren't empty, and the text that is in them more often than in the cells."""
        self.end_cell()
        grid = _Grid()
        for row in self.rows:
            grid.add_row(row)
        return [row for row in grid.rows if any(row)], "".join(grid.repeated)


class _Grid:
    """The texts of all places of a table. A cell's text stands in each row that it covers, in its first column."""

    def __init__(self) -> None:
        self.rows: list[list[str]] = []
        self.repeated: list[str] = []
        self._num_places = 0
        self._covered: dict[int, tuple[str, int]] = {}
        """{column: (text, rows)} of the cells that reach into the next rows."""

    def add_row(self, cells: Sequence[Cell]) -> None:
        if self._num_places > _MAX_PLACES:
            return
        row: list[str] = []
        covering: dict[int, tuple[str, int]] = {}
        for cell in cells:
            self._add_covered(row, covering)
            for column in range(cell.num_columns):
                text = "" if column else cell.text
                if cell.num_rows > 1:
                    covering[len(row)] = (text, cell.num_rows - 1)
                row.append(text)
        self._add_covered(row, covering)
        self._covered = covering
        self._num_places += len(row)
        self.rows.append(row)

    def _add_covered(self, row: list[str], covering: dict[int, tuple[str, int]]) -> None:
        while len(row) in self._covered:
            text, num_rows = self._covered[len(row)]
            if num_rows > 1:
                covering[len(row)] = (text, num_rows - 1)
            row.append(text)
            self.repeated.append(text)
