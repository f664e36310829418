"""RowReader: from the records of files to rows, each with the reason where it is none."""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from llmos.core.errors import BadRequest
from llmos.data.datasets.contents import encode_content
from llmos.data.datasets.formats import BadRecord
from llmos.data.datasets.rows import COLUMNS, Consent, Row, row_id
from llmos.data.datasets.shapes import Columns, Fields, Shape

OnError = Literal["stop", "skip"]

HashSubject = Callable[[str], str]
"""Return the keyed hash of what a person is called."""

_NO_COLUMNS = Columns()
_NO_JSON = (msgspec.DecodeError, RecursionError, UnicodeError)
"""The errors of decoding bytes that are no JSON. A ValidationError, which is a DecodeError too, is caught before."""

_PLACE = re.compile(r" - at `\$\.?(.*)`$")


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportOptions:
    """The settings by which files are read."""

    shape: str | None = None
    """The name of a shape; None: recognize it."""
    mapping: Mapping[str, str] = field(default_factory=dict)
    """{field: column of the files}: for fields of the shape, and for language, license, consent, subject and split."""
    on_error: OnError = "stop"
    license: str | None = None
    """The license of the version; None: that of the README."""
    consent: Consent | None = None
    """The default for rows without a consent of their own; the next two fields are defaults, too."""
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
            body = encode_content(self._shape.read(fields))
        except BadRequest as error:
            raise BadRow(error.message, error.param or "") from None
        columns, options = fields.llmos or _NO_COLUMNS, self._options
        return Row(
            id=row_id(body),
            kind=self._shape.kind,
            body=body,
            origin=columns.origin or origin,
            language=columns.language or options.language or None,
            license=columns.license or None,
            consent=columns.consent or options.consent or None,
            subject=columns.subject or None,
            split=columns.split or split or options.split or None,
        )

    def _fields(self, record: bytes | Mapping[str, Any] | BadRecord) -> Fields:
        if isinstance(record, bytes) and not self._options.mapping:
            try:
                return self._decoder.decode(record)
            except msgspec.ValidationError:
                pass  # Other types may become texts below.
            except _NO_JSON as error:
                raise _undecodable(error) from None
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
    try:
        found = msgspec.json.decode(record)
    except _NO_JSON as error:
        raise _undecodable(error) from None
    if not isinstance(found, dict):
        raise BadRow("It is no JSON object.")
    return found


def _undecodable(error: Exception) -> BadRow:
    """Return the reason for which bytes are no JSON."""
    if isinstance(error, msgspec.DecodeError):
        return BadRow(f"It is no JSON: {error}.".replace("JSON is malformed: ", ""))
    return BadRow("It is nested too deeply." if isinstance(error, RecursionError) else f"It isn't UTF-8: {error}.")


def _bad_row(error: msgspec.ValidationError) -> BadRow:
    """Return the reason and the field of a record in another shape."""
    message = str(error)
    match = _PLACE.search(message)
    return BadRow(f"{_PLACE.sub('', message)}.", match[1] if match else "")
