"""RowReader: from the records of files to rows, each with the reason where it is none."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from llmos.core.errors import BadRequest
from llmos.data.datasets.formats import BadRecord
from llmos.data.datasets.rows import COLUMNS, Consent, Row, make_row
from llmos.data.datasets.shapes import Columns, Fields, Shape

OnError = Literal["stop", "skip"]

HashSubject = Callable[[str], str]
"""Return the keyed hash of what a person is called."""

_PLACE = re.compile(r" - at `\$\.?(.*)`$")


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportOptions:
    """How files are read."""

    shape: str | None = None
    """The name of a shape; None: recognize it."""
    mapping: Mapping[str, str] = field(default_factory=dict)
    """{field: column of the files}: for fields of the shape, and for language, license, consent, subject and split."""
    on_error: OnError = "stop"
    license: str | None = None
    """That of the version; None: what the README says."""
    consent: Consent | None = None
    """That of rows that have none of their own, as are the next two."""
    language: str | None = None
    split: str | None = None
    config: str | None = None
    """The config of the README whose files are read."""


class BadRow(Exception):
    """A record that isn't a row."""

    def __init__(self, reason: str, field: str = "") -> None:
        super().__init__(reason)
        self.reason, self.field = reason, field


class RowReader:
    """Reads records in one shape. `widened` counts {(field, type): values} that became texts."""

    def __init__(self, shape: Shape, options: ImportOptions, hash_subject: HashSubject) -> None:
        self._shape, self._options, self._hash_subject = shape, options, hash_subject
        self._decoder = msgspec.json.Decoder(shape.fields)
        self.widened: Counter[tuple[str, str]] = Counter()

    def row(self, record: bytes | Mapping[str, Any] | BadRecord, origin: str, split: str | None) -> Row:
        """Return the row of a record. Raises BadRow. `origin`, `split`: what the file's name says."""
        try:
            fields = self._fields(record)
            content = self._shape.read(fields)
            columns = fields.llmos or Columns()
            options = self._options
            return make_row(
                self._shape.kind,
                content,
                origin=columns.origin or origin,
                language=columns.language or options.language,
                license=columns.license,
                consent=columns.consent or options.consent,
                subject=columns.subject,
                split=columns.split or split or options.split,
            )
        except BadRequest as error:
            raise BadRow(error.message, error.param or "") from None

    def _fields(self, record: bytes | Mapping[str, Any] | BadRecord) -> Fields:
        if isinstance(record, bytes) and not self._options.mapping:
            # Other types may become texts below.
            with _decoding_errors(), suppress(msgspec.ValidationError):
                return self._decoder.decode(record)
        found = decode_record(record)
        return self._converted(map_columns(found, self._options.mapping, self._hash_subject))

    def _converted(self, record: Mapping[str, Any]) -> Fields:
        try:
            return msgspec.convert(record, self._shape.fields)
        except msgspec.ValidationError as error:
            numbers = {name: value for name, value in record.items() if isinstance(value, int | float)}
            texts = {name: msgspec.json.encode(value).decode() for name, value in numbers.items()}
            try:
                fields = msgspec.convert({**record, **texts}, self._shape.fields)
            except msgspec.ValidationError:
                raise _bad_row(error) from None
        known = self._shape.fields.__struct_encode_fields__
        self.widened.update((name, type(value).__name__) for name, value in numbers.items() if name in known)
        return fields


def map_columns(record: Mapping[str, Any], mapping: Mapping[str, str], hash_subject: HashSubject) -> Mapping[str, Any]:
    """Return the record with the columns of `mapping` under the names of their fields. Raises BadRow for a missing
    one."""
    if not mapping:
        return record
    renamed = {name: value for name, value in record.items() if name not in mapping.values()}
    own: dict[str, str] = {}
    for name, column in mapping.items():
        if column not in record:
            raise BadRow(f"There is no column {column}.", column)
        value = record[column]
        if name not in COLUMNS:
            renamed[name] = value
        elif value is not None and value != "":
            text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            own[name] = hash_subject(text) if name == "subject" else text
    return {**renamed, "llmos": {**(record.get("llmos") or {}), **own}} if own else renamed


def decode_record(record: bytes | Mapping[str, Any] | BadRecord) -> Mapping[str, Any]:
    """Return a record as an object. Raises BadRow where it isn't one."""
    if isinstance(record, BadRecord):
        raise BadRow(record.reason)
    if not isinstance(record, bytes):
        return record
    with _decoding_errors():
        found = msgspec.json.decode(record)
    if not isinstance(found, dict):
        raise BadRow("It is no JSON object.")
    return found


@contextmanager
def _decoding_errors() -> Iterator[None]:
    """Raise BadRow for bytes that are no JSON."""
    try:
        yield
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError as error:
        raise BadRow(f"It is no JSON: {error}.".replace("JSON is malformed: ", "")) from None
    except RecursionError:
        raise BadRow("It is nested too deeply.") from None
    except UnicodeError as error:
        raise BadRow(f"It isn't UTF-8: {error}.") from None


def _bad_row(error: msgspec.ValidationError) -> BadRow:
    """Return the reason and the field of a record in another shape."""
    message = str(error)
    match = _PLACE.search(message)
    return BadRow(f"{_PLACE.sub('', message)}.", match[1] if match else "")
