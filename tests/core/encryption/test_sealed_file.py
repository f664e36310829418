"""Encrypted files: any range is what was written, and whatever is changed on the disk is noticed."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.core.encryption.aead import new_key
from llmos.core.encryption.data_key import DataKey
from llmos.core.encryption.sealed_file import (
    MAGIC,
    ChunkBuffer,
    SealedChunks,
    SealedFile,
    SealedWriter,
    is_sealed,
    read_chunks,
)
from llmos.core.errors import StoreFailed

CHUNK = 16
KEY = DataKey("file-1", new_key())
FRAME = 4 + 12 + CHUNK + 16
"""The bytes of a full chunk in the file."""


def write(path: Path, content: bytes, key: DataKey = KEY, *, pieces: int = 7) -> Path:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    chunks = ChunkBuffer(SealedWriter(handle, key), CHUNK)
    for begin in range(0, len(content), pieces):
        chunks.write(content[begin : begin + pieces])
    chunks.finish()
    os.close(handle)
    return path


def read(path: Path, key: DataKey = KEY) -> bytes:
    with SealedFile(path, key) as file:
        return file.read()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sealed") / "file"


@given(st.binary(max_size=5 * CHUNK), st.integers(1, 40), st.data())
def test_any_range_is_what_was_written(path: Path, content: bytes, pieces: int, data: st.DataObject) -> None:
    write(path, content, pieces=pieces)
    assert is_sealed(path)
    with SealedFile(path, KEY) as file:
        assert file.size == len(content)
        begin = data.draw(st.integers(0, len(content) + 2))
        length = data.draw(st.integers(0, len(content) + 2))
        file.seek(begin)
        assert file.tell() == begin
        piece = b""
        while len(piece) < length and (more := file.read(length - len(piece))):
            piece += more
        assert piece == content[begin : begin + length]
    assert read(path) == content


@given(st.binary(min_size=1, max_size=4 * CHUNK), st.data())
def test_no_changed_byte_is_ever_returned(path: Path, content: bytes, data: st.DataObject) -> None:
    write(path, content)
    stored = bytearray(path.read_bytes())
    index = data.draw(st.integers(0, len(stored) - 1))
    stored[index] ^= data.draw(st.integers(1, 255))
    path.write_bytes(stored)
    with pytest.raises(StoreFailed, match=r"file-1 was modified .* Restore it from a backup"):
        read(path)


@given(st.binary(min_size=1, max_size=4 * CHUNK), st.data())
def test_a_file_that_is_cut_off_anywhere_is_noticed_when_it_is_opened(
    path: Path, content: bytes, data: st.DataObject
) -> None:
    write(path, content)
    stored = path.read_bytes()
    path.write_bytes(stored[: data.draw(st.integers(0, len(stored) - 1))])
    with pytest.raises(StoreFailed, match="was modified"):
        SealedFile(path, KEY)


@given(st.permutations(range(4)))
def test_chunks_cannot_be_swapped(path: Path, order: list[int]) -> None:
    content = bytes(range(4 * CHUNK)) + b"end"
    write(path, content)
    stored = path.read_bytes()
    frames = [stored[len(MAGIC) + i * FRAME : len(MAGIC) + (i + 1) * FRAME] for i in range(4)]
    path.write_bytes(MAGIC + b"".join(frames[i] for i in order) + stored[len(MAGIC) + 4 * FRAME :])
    if order == [0, 1, 2, 3]:
        assert read(path) == content
    else:
        with pytest.raises(StoreFailed, match="was modified"):
            read(path)


@pytest.mark.parametrize("kept", [[0], [1], [0, 1, 1], [0, 0, 1]])
def test_chunks_cannot_be_left_out_or_repeated(path: Path, kept: list[int]) -> None:
    write(path, b"a" * CHUNK + b"b" * CHUNK)
    stored = path.read_bytes()
    frames = [stored[len(MAGIC) : len(MAGIC) + FRAME], stored[len(MAGIC) + FRAME :]]
    path.write_bytes(MAGIC + b"".join(frames[i] for i in kept))
    with pytest.raises(StoreFailed, match="was modified"):
        read(path)


def test_the_chunks_of_another_file_do_not_open(path: Path, tmp_path: Path) -> None:
    """Neither under another key, nor under the same key with another object's name."""
    write(path, b"secret")
    for other in (DataKey("file-1", new_key()), DataKey("file-2", KEY.key)):
        with pytest.raises(StoreFailed, match="was modified"):
            read(path, other)


def test_nothing_of_the_content_is_on_the_disk(path: Path) -> None:
    write(path, b"a marker that nobody else writes" * 10)
    assert b"marker" not in path.read_bytes()


def test_the_same_content_never_looks_the_same(path: Path) -> None:
    assert write(path, b"a" * 40).read_bytes() != write(path, b"a" * 40).read_bytes()


@given(st.lists(st.binary(max_size=30), min_size=1, max_size=5), st.data())
def test_a_crash_while_appending_leaves_what_was_appended_before(
    path: Path, pieces: list[bytes], data: st.DataObject
) -> None:
    """Any prefix of the last append may be on the disk, followed by garbage."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    writer = SealedWriter(handle, KEY)
    ends = [len(MAGIC)]
    for piece in pieces:
        ends.append(ends[-1] + writer.append(piece))
    os.close(handle)
    cut = data.draw(st.integers(ends[-2], ends[-1] - 1))
    path.write_bytes(path.read_bytes()[:cut] + data.draw(st.binary(max_size=9)))
    with path.open("rb") as file:
        found = list(read_chunks(file, KEY))
    assert [content for content, _, _ in found] == pieces[:-1]
    assert [end for _, end, _ in found] == ends[1:-1]


@given(st.binary(max_size=5 * CHUNK), st.data())
def test_a_range_is_read_without_a_position(path: Path, content: bytes, data: st.DataObject) -> None:
    write(path, content)
    with SealedFile(path, KEY) as file:
        begin, end = sorted(data.draw(st.tuples(*[st.integers(0, len(content))] * 2)))
        assert file.read_range(begin, end) == content[begin:end]
        assert file.tell() == 0


@given(st.binary(max_size=5 * CHUNK), st.data())
def test_a_file_that_is_written_in_any_order_has_the_bytes_that_were_written(
    path: Path, content: bytes, data: st.DataObject
) -> None:
    """Pieces may come twice, and what no piece covers is zero."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    chunks, expected = SealedChunks(handle, KEY, len(content), CHUNK), bytearray(len(content))
    for _ in range(data.draw(st.integers(0, 8))):
        begin, end = sorted(data.draw(st.tuples(*[st.integers(0, len(content))] * 2)))
        chunks.write(begin, memoryview(content[begin:end]))
        expected[begin:end] = content[begin:end]
    chunks.finish()
    os.close(handle)
    assert read(path) == expected


def test_a_chunk_that_is_written_whole_does_not_stay_in_memory(path: Path) -> None:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    chunks = SealedChunks(handle, KEY, 3 * CHUNK, CHUNK)
    chunks.write(CHUNK, memoryview(b"a" * CHUNK))
    chunks.write(0, memoryview(b"b" * (CHUNK - 1)))
    assert list(chunks._open) == [0]
    os.close(handle)
