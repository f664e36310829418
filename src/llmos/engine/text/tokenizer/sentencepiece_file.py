"""Reads tokenizer.model, the vocabulary that SentencePiece writes: a protocol buffer.

    ModelProto        1: repeated SentencePiece   2: TrainerSpec   3: NormalizerSpec
    SentencePiece     1: the piece   2: its score   3: its type (2 unknown, 3 control, 4 user-defined, 6 byte)
    TrainerSpec       3: the kind of vocabulary (1 unigram, 2 BPE)   40 to 42: the ids of unknown, BOS and EOS
    NormalizerSpec    2: a compiled map of characters   3: whether text gets a space before it   4: whether spaces at
                      its ends and repeated ones are removed

https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from llmos.core.errors import BadModelFile

MAX_BYTES = 1 << 26
UNIGRAM, BPE = 1, 2
UNKNOWN, CONTROL, USER_DEFINED, BYTE = 2, 3, 4, 6

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
_PIECES, _TRAINER, _NORMALIZER = 1, 2, 3  # fields of ModelProto
_FLOAT = struct.Struct("<f")

Value = int | bytes


@dataclass(slots=True)
class SentencePieceModel:
    """A vocabulary. The ids of pieces are their positions."""

    pieces: list[str] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    types: list[int] = field(default_factory=list)
    kind: int = 1
    unknown_id: int = 0
    bos_id: int = 1
    """-1: none."""
    eos_id: int = 2
    """-1: none."""
    character_map: bytes = b""
    adds_space: bool = True
    removes_spaces: bool = True
    """Spaces at the ends of a text are removed, and of several in a row all but one."""


def read_sentencepiece(path: Path, name: str) -> SentencePieceModel:
    """Raises BadModelFile, calling the file `name`, for one that SentencePiece didn't write."""
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise BadModelFile(f"{name} has more than {MAX_BYTES:,} bytes.")
    model = SentencePieceModel()
    try:
        for number, value in _fields(data):
            if number == _PIECES:
                _add_piece(model, _as_bytes(value))
            elif number == _TRAINER:
                _read_trainer(model, _as_bytes(value))
            elif number == _NORMALIZER:
                _read_normalizer(model, _as_bytes(value))
    except (ValueError, IndexError, struct.error):
        raise BadModelFile(f"{name} is not a SentencePiece vocabulary, or it is damaged. Download it again.") from None
    if not model.pieces:
        raise BadModelFile(f"{name} holds no pieces. Download it again.")
    return model


def _add_piece(model: SentencePieceModel, data: bytes) -> None:
    piece, score, kind = "", 0.0, 1
    for number, value in _fields(data):
        if number == 1:
            piece = _as_bytes(value).decode()
        elif number == 2:
            score = _FLOAT.unpack(_as_bytes(value))[0]
        elif number == 3:
            kind = _as_int(value)
    model.pieces.append(piece)
    model.scores.append(score)
    model.types.append(kind)


def _read_trainer(model: SentencePieceModel, data: bytes) -> None:
    for number, value in _fields(data):
        if number == 3:
            model.kind = _as_int(value)
        elif number == 40:
            model.unknown_id = _as_int(value)
        elif number == 41:
            model.bos_id = _as_int(value)
        elif number == 42:
            model.eos_id = _as_int(value)


def _read_normalizer(model: SentencePieceModel, data: bytes) -> None:
    for number, value in _fields(data):
        if number == 2:
            model.character_map = _as_bytes(value)
        elif number == 3:
            model.adds_space = _as_int(value) != 0
        elif number == 4:
            model.removes_spaces = _as_int(value) != 0


def _fields(data: bytes) -> Iterator[tuple[int, Value]]:
    """Yield number and value of each field of a message. Raises ValueError or IndexError for a damaged one."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        number, wire_type = key >> 3, key & 7
        if wire_type == _VARINT:
            value, position = _varint(data, position)
            yield number, value
            continue
        if wire_type == _BYTES:
            length, position = _varint(data, position)
        elif wire_type in (_FIXED32, _FIXED64):
            length = 4 if wire_type == _FIXED32 else 8
        else:
            raise ValueError(f"wire type {wire_type}")
        end = position + length
        if end > len(data):
            raise ValueError("a field is longer than its message")
        yield number, data[position:end]
        position = end


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """Return the integer at a position, and the position after it."""
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError("an integer has more than 64 bits")


def _as_bytes(value: Value) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("a field is an integer instead of bytes")
    return value


def _as_int(value: Value) -> int:
    """Return a signed 32-bit integer: -1 is written as 64 bits that are all set."""
    if not isinstance(value, int):
        raise ValueError("a field is bytes instead of an integer")
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value
