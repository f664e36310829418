"""Row: one example of a dataset. Its identity is the SHA-256 of its content's canonical JSON."""

import hashlib
from collections.abc import Callable, Iterable
from typing import Any, Literal

import msgspec

from llmos.core.errors import BadRequest
from llmos.data.datasets.contents import (
    CONTENT_TYPES,
    KINDS,
    Content,
    Kind,
    decode_content,
    encode_content,
    map_texts,
    texts_of,
)

Consent = Literal["train", "eval", "none"]
"""The use that a row is allowed for: to train on, to evaluate with, or neither."""

COLUMNS = ("origin", "language", "license", "consent", "subject", "split")
"""The columns beside the content, in the order in which digests take them."""

_records = msgspec.json.Encoder()


class Row(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One example of a dataset, immutable.

    row = make_row("text", {"text": "Hello"}, origin="notes.jsonl:1")
    row.content.text                       # the content as a struct of its kind, decoded anew at each access
    row.with_content(content)              # another content, the same columns
    row.map_texts(str.strip)               # every text replaced
    msgspec.structs.replace(row, language="en")
    """

    id: str
    """The SHA-256 of the body, in hexadecimal digits."""
    kind: Kind
    body: bytes
    """The content as canonical JSON."""
    origin: str | None = None
    """The place that it came from: FILE:LINE, or the id of an answer."""
    language: str | None = None
    """A code of ISO 639-1, such as "en"."""
    license: str | None = None
    consent: Consent | None = None
    """None: nobody said."""
    subject: str | None = None
    """The person that the row is about, as a keyed hash."""
    split: str | None = None
    """Such as "train" or "test"."""

    @property
    def content(self) -> Any:
        """The content: a ChatContent, PreferenceContent, CaseContent or TextContent of contents.py."""
        return decode_content(self.kind, self.body)

    @property
    def texts(self) -> list[str]:
        """Every text of the content that people or models wrote."""
        return texts_of(decode_content(self.kind, self.body))

    def with_content(self, content: Content) -> "Row":
        """Return a row with another content of the same kind and the same columns."""
        body = encode_content(content)
        if body == self.body:
            return self
        return msgspec.structs.replace(self, id=row_id(body), body=body)

    def map_texts(self, function: Callable[[str], str]) -> "Row":
        """Return the row with every text replaced by what `function` makes of it."""
        return self.with_content(map_texts(decode_content(self.kind, self.body), function))


def make_row(kind: Kind, content: Content | dict[str, Any], **columns: str | None) -> Row:
    """Return a row. Raises BadRequest, which names the field, for a content that isn't one of its kind."""
    if isinstance(content, dict):
        try:
            content = msgspec.convert(content, CONTENT_TYPES[check_kind(kind)])
        except msgspec.ValidationError as error:
            raise BadRequest(f"This isn't a row of the kind {kind}: {error}.") from None
    body = encode_content(content)
    known = {name: value or None for name, value in columns.items()}  # An empty text is no value.
    return Row(id=row_id(body), kind=kind, body=body, **known)  # type: ignore[arg-type]


def check_kind(kind: str) -> Kind:
    """Return the kind. Raises BadRequest that lists the kinds."""
    for each in KINDS:
        if kind == each:
            return each
    raise BadRequest(f"There is no kind of rows {kind[:80]!r}. It is one of {', '.join(KINDS)}.", param="kind")


def row_id(body: bytes) -> str:
    """Return the identity of a row with this body."""
    return hashlib.sha256(body).hexdigest()


def records_of(rows: Iterable[Row]) -> bytes:
    """Return what digests take of rows: for each, a line with its id and its columns, as canonical JSON."""
    return _records.encode_lines(
        (row.id, row.origin, row.language, row.license, row.consent, row.subject, row.split) for row in rows
    )
