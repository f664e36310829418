"""Headers of pages and the footer of a Parquet file, in Thrift's compact protocol.

Covers what parquet_writer.py writes: pages of plain values, compressed by zstd or not, in one row group. Source:
parquet.thrift of Apache Parquet 2.11 and "Thrift compact protocol encoding" of Apache Thrift.
"""

from collections.abc import Sequence
from dataclasses import dataclass

_I32, _I64, _BINARY, _LIST, _STRUCT = 5, 6, 8, 9, 12

_BYTE_ARRAY, _FIXED_LEN_BYTE_ARRAY = 6, 7
_REQUIRED, _OPTIONAL = 0, 1
_UTF8 = 0
_PLAIN, _RLE = 0, 3
_UNCOMPRESSED, _ZSTD = 0, 6
_DATA_PAGE = 0

_CREATED_BY = b"llmos"

_Field = tuple[int, int, bytes]
"""(number, type, encoded value) of a field of a struct."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnInfo:
    """The footer's description of a column. Sizes include the headers of its pages."""

    name: str
    width: int
    """The bytes of each value; 0 for texts."""
    is_optional: bool
    is_compressed: bool
    """By zstd."""
    num_rows: int
    offset: int
    """The position of its first page in the file."""
    plain_size: int
    compressed_size: int


def page_header(num_rows: int, plain_size: int, compressed_size: int) -> bytes:
    """Return the header of a page of plain values."""
    data_page = _struct(_i32(1, num_rows), _i32(2, _PLAIN), _i32(3, _RLE), _i32(4, _RLE))
    return _struct(_i32(1, _DATA_PAGE), _i32(2, plain_size), _i32(3, compressed_size), (5, _STRUCT, data_page))


def footer(columns: Sequence[ColumnInfo]) -> bytes:
    """Return the metadata of a file with one row group of these columns."""
    num_rows = columns[0].num_rows
    root = _struct((4, _BINARY, _binary(b"rows")), _i32(5, len(columns)))
    schema = [root, *map(_schema_element, columns)]
    total = sum(column.plain_size for column in columns)
    row_group = _struct((1, _LIST, _list(_STRUCT, list(map(_chunk, columns)))), _i64(2, total), _i64(3, num_rows))
    return _struct(
        _i32(1, 1),
        (2, _LIST, _list(_STRUCT, schema)),
        _i64(3, num_rows),
        (4, _LIST, _list(_STRUCT, [row_group])),
        (6, _BINARY, _binary(_CREATED_BY)),
    )


def varint(number: int) -> bytes:
    """Return a natural number in groups of seven bits, the lowest first (ULEB128)."""
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)


def _schema_element(column: ColumnInfo) -> bytes:
    name: _Field = (4, _BINARY, _binary(column.name.encode()))
    repetition = _i32(3, _OPTIONAL if column.is_optional else _REQUIRED)
    if column.width:
        return _struct(_i32(1, _FIXED_LEN_BYTE_ARRAY), _i32(2, column.width), repetition, name)
    string_type = _struct((1, _STRUCT, _struct()))
    return _struct(_i32(1, _BYTE_ARRAY), repetition, name, _i32(6, _UTF8), (10, _STRUCT, string_type))


def _chunk(column: ColumnInfo) -> bytes:
    metadata = _struct(
        _i32(1, _type(column)),
        (2, _LIST, _list(_I32, [_zigzag(_PLAIN), _zigzag(_RLE)])),
        (3, _LIST, _list(_BINARY, [_binary(column.name.encode())])),
        _i32(4, _ZSTD if column.is_compressed else _UNCOMPRESSED),
        _i64(5, column.num_rows),
        _i64(6, column.plain_size),
        _i64(7, column.compressed_size),
        _i64(9, column.offset),
    )
    return _struct(_i64(2, column.offset), (3, _STRUCT, metadata))


def _type(column: ColumnInfo) -> int:
    return _FIXED_LEN_BYTE_ARRAY if column.width else _BYTE_ARRAY


def _struct(*fields: _Field) -> bytes:
    """Return a struct of fields whose numbers rise by less than 16."""
    parts, last = [], 0
    for number, type, value in fields:
        parts += [bytes([(number - last) << 4 | type]), value]
        last = number
    return b"".join(parts) + b"\0"


def _list(type: int, values: Sequence[bytes]) -> bytes:
    size = len(values)
    head = bytes([size << 4 | type]) if size < 15 else bytes([0xF0 | type]) + varint(size)
    return head + b"".join(values)


def _i32(number: int, value: int) -> _Field:
    return number, _I32, _zigzag(value)


def _i64(number: int, value: int) -> _Field:
    return number, _I64, _zigzag(value)


def _zigzag(value: int) -> bytes:
    return varint(value << 1)


def _binary(value: bytes) -> bytes:
    return varint(len(value)) + value
