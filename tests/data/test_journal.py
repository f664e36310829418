"""The journal of a batch: no answer is lost or duplicated, wherever the process dies."""

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.core.encryption.aead import new_key
from llmos.core.encryption.data_key import DataKey
from llmos.core.encryption.sealed_file import SealedFile
from llmos.core.errors import StoreFailed
from llmos.data.journal import Entry, Journal


def read(text: bytes, is_error: bool) -> Entry:
    read = entry(int(text.partition(b" ")[0]), is_error=is_error)
    if text.rstrip(b"\n") != read.line:
        raise ValueError("not whole")
    return read


def entry(number: int, *, is_error: bool = False) -> Entry:
    line = b"%d is %b" % (number, b"wrong" if is_error else b"answered")
    return Entry(number, line, is_error, {} if is_error else {"tokens": number})


Keys = tuple[DataKey | None, DataKey | None]

SEALED: Keys = (DataKey("file-output", new_key()), DataKey("file-error", new_key()))
PLAIN: Keys = (None, None)
"""As an earlier version has left a batch that it ran."""


def opened(folder: Path, keys: Keys = PLAIN) -> Journal:
    return Journal(folder / "output", folder / "errors", read, keys)


def test_answers_and_errors_are_in_separate_files(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.write([entry(2), entry(1, is_error=True), entry(3)])
    assert (tmp_path / "output").read_bytes() == b"2 is answered\n3 is answered\n"
    assert (tmp_path / "errors").read_bytes() == b"1 is wrong\n"
    assert journal.sizes == (28, 11)
    assert (journal.progress.num_completed, journal.progress.num_failed) == (2, 1)
    assert journal.progress.usage == {"tokens": 5}
    journal.close()


def test_a_reopened_journal_has_the_recorded_lines(tmp_path: Path) -> None:
    first = opened(tmp_path)
    first.write([entry(2), entry(1, is_error=True)])
    first.close()
    second = opened(tmp_path)
    assert second.recorded == {1, 2}
    assert second.progress == first.progress
    assert second.sizes == first.sizes
    second.close()


@given(st.integers(0, 70), st.binary(max_size=12))
def test_an_incomplete_last_line_is_cut_off_and_answered_again(
    tmp_path_factory: pytest.TempPathFactory, num_bytes: int, garbage: bytes
) -> None:
    """Any prefix of the last write may be on the disk, followed by garbage."""
    folder = tmp_path_factory.mktemp("torn")
    journal = opened(folder)
    journal.write([entry(number) for number in range(1, 6)])
    journal.close()
    whole = (folder / "output").read_bytes()
    left = whole[:num_bytes] + garbage
    (folder / "output").write_bytes(left)
    journal = opened(folder)
    lines = whole.splitlines(keepends=True)
    assert journal.recorded == {n for n in range(1, 6) if left.startswith(b"".join(lines[:n]))}
    journal.write([entry(number) for number in range(1, 6) if number not in journal.recorded])
    journal.close()
    assert (folder / "output").read_bytes() == whole


@pytest.mark.parametrize("keys", [SEALED, PLAIN])
def test_answers_survive_any_number_of_restarts(tmp_path: Path, keys: Keys) -> None:
    for number in range(1, 8, 2):
        journal = opened(tmp_path, keys)
        assert journal.recorded == set(range(1, number))
        journal.write([entry(number), entry(number + 1, is_error=True)])
        journal.close()
    journal = opened(tmp_path, keys)
    assert journal.sizes == (4 * 14, 4 * 11)
    assert journal.progress.usage == {"tokens": 1 + 3 + 5 + 7}
    journal.finish()
    assert ((tmp_path / "output").read_bytes() == b"".join(b"%d is answered\n" % n for n in (1, 3, 5, 7))) == (
        keys is PLAIN
    )


def test_the_ended_files_of_an_encrypted_journal_are_read_as_plain_ones(tmp_path: Path) -> None:
    """Also where the process died between the end of the files and that of the batch, and the next one ends it."""
    for numbers in ([1, 2], [3]):
        journal = opened(tmp_path, SEALED)
        journal.write([entry(number) for number in numbers])
        journal.finish()
    assert SEALED[0] is not None
    with SealedFile(tmp_path / "output", SEALED[0]) as file:
        assert file.read() == b"1 is answered\n2 is answered\n3 is answered\n"
    assert b"answered" not in (tmp_path / "output").read_bytes()


@given(st.integers(0, 300), st.binary(max_size=12))
def test_what_a_crash_leaves_of_an_encrypted_append_is_answered_again(
    tmp_path_factory: pytest.TempPathFactory, num_bytes: int, garbage: bytes
) -> None:
    folder = tmp_path_factory.mktemp("torn")
    journal = opened(folder, SEALED)
    ends = []
    for number in range(1, 6):
        journal.write([entry(number)])
        ends.append((folder / "output").stat().st_size)
    journal.close()
    whole = (folder / "output").read_bytes()
    (folder / "output").write_bytes(whole[:num_bytes] + garbage)
    journal = opened(folder, SEALED)
    assert journal.recorded == {n for n in range(1, 6) if ends[n - 1] <= num_bytes}
    journal.write([entry(number) for number in range(1, 6)])
    journal.close()
    journal = opened(folder, SEALED)
    assert journal.recorded == set(range(1, 6))
    journal.close()


def test_a_line_is_recorded_only_once(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.write([entry(1)])
    journal.write([entry(1, is_error=True)])
    assert journal.sizes == (14, 0)
    assert journal.progress.num_failed == 0
    journal.close()
    journal.write([entry(2)])  # a thread whose task was cancelled
    assert journal.recorded == {1}


@pytest.mark.parametrize("keys", [SEALED, PLAIN])
def test_a_full_disk_leaves_complete_lines_and_records_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: Keys
) -> None:
    journal = opened(tmp_path, keys)
    journal.write([entry(1)])
    write = os.write

    def write_half(handle: int, data: bytes) -> int:
        if len(data) < 10:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(handle, data[:10])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", write_half)
        with pytest.raises(StoreFailed, match="Free some space"):
            journal.write([entry(2)])
    assert journal.recorded == {1}
    assert journal.sizes == (14, 0)
    journal.write([entry(2)])
    journal.close()
    journal = opened(tmp_path, keys)
    assert journal.recorded == {1, 2}
    journal.close()
