"""CSV and TSV: a line with the names of the columns, then one record on each line, or on several within quotes."""

import csv
import io
from pathlib import Path
from typing import Any, cast

from llmos.core.errors import BadRequest
from llmos.data.datasets.formats import MAX_RECORD_BYTES, BadRecord, Format, Records, suffix_of
from llmos.data.datasets.formats._bytes import opened


def _read(path: Path, name: str) -> Records:
    delimiter = "\t" if suffix_of(name) == ".tsv" else ","
    csv.field_size_limit(MAX_RECORD_BYTES)
    with opened(path, name) as file:
        text = io.TextIOWrapper(cast(Any, file), encoding="utf-8-sig", newline="")
        reader = csv.reader(text, delimiter=delimiter, strict=True)
        number = 1
        try:
            columns = _checked(next(reader, []), name)
            for values in reader:
                number, first = reader.line_num, number + 1
                if not values:
                    continue
                if len(values) != len(columns):
                    yield first, BadRecord(f"It has {len(values)} values; the first line names {len(columns)} columns.")
                    continue
                yield first, dict(zip(columns, values, strict=True))
        except UnicodeDecodeError as error:
            raise BadRequest(
                f"{name} isn't UTF-8 behind line {number} ({error.reason}). Convert it first: iconv -f LATIN1 -t UTF-8"
                f" {name}",
                param="path",
            ) from None
        except csv.Error as error:
            raise BadRequest(f"{name} is no longer CSV behind line {number}: {error}.", param="path") from None


def _checked(columns: list[str], name: str) -> list[str]:
    """Return the names of the columns. Raises BadRequest where one is missing or there twice."""
    if not columns or "" in columns or len(set(columns)) < len(columns):
        raise BadRequest(
            f"The first line of {name} must name each column, each differently. It is: {','.join(columns)[:200]!r}",
            param="path",
        )
    return columns


FORMAT = Format(suffixes=(".csv", ".tsv"), read=_read)
