"""XLSX, XLSM, XLSB and XLS, read by calamine: a section with a table for each sheet. Hidden sheets are left out."""

import io
from collections.abc import Sequence
from datetime import date, datetime, time
from typing import Any

from python_calamine import CalamineError, CalamineWorkbook, PasswordError, SheetVisibleEnum

from llmos.core.errors import BadDocument
from llmos.data.documents.archive import check_archive, names_in
from llmos.data.documents.builder import DocumentBuilder

SUFFIXES = (".xlsx", ".xlsm", ".xlsb", ".xls")
RANK = 0

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def fits(content: bytes, suffix: str) -> bool:
    if content.startswith(_OLE):  # of Excel 97 to 2003; recognition.py has refused the others
        return True
    return content.startswith(b"PK\x03\x04") and any(name.startswith("xl/") for name in names_in(content))


def parse(content: bytes, builder: DocumentBuilder) -> None:
    if not content.startswith(_OLE):
        check_archive(content)
    try:
        workbook = CalamineWorkbook.from_filelike(io.BytesIO(content))
        for index, metadata in enumerate(workbook.sheets_metadata):
            rows = _rows(workbook.get_sheet_by_index(index).iter_rows())
            text = "\n".join("\t".join(row) for row in rows)
            builder.find(text)
            if metadata.visible != SheetVisibleEnum.Visible:
                builder.leave_out("hidden_sheet", text)
            elif rows:
                builder.find(metadata.name)
                builder.add_heading(1, metadata.name)
                builder.add_table(rows)
    except PasswordError:
        raise BadDocument("It is encrypted. Save it without a password first.") from None
    except CalamineError as error:
        raise BadDocument(f"The workbook is broken: {str(error).rstrip('.')}.") from None


def _rows(rows: Any) -> list[list[str]]:
    """Return the rows with text in them, without the empty columns on the left and cells at their ends."""
    texts = [[_text(value) for value in row] for row in rows]
    texts = [row for row in texts if any(row)]
    indent = min((_first(row) for row in texts), default=0)
    return [row[indent : _last(row) + 1] for row in texts]


def _first(row: Sequence[str]) -> int:
    return next(index for index, cell in enumerate(row) if cell)


def _last(row: Sequence[str]) -> int:
    return next(index for index in range(len(row) - 1, -1, -1) if row[index])


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime) and value.time() == time():
        return value.date().isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    return str(value)
