"""The journal of a batch: no answer is lost or duplicated, wherever the process dies."""

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


def opened(folder: Path) -> Journal:
    return Journal(folder / "output", folder / "errors", read)


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


def test_a_line_is_recorded_only_once(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.write([entry(1)])
    journal.write([entry(1, is_error=True)])
    assert journal.sizes == (14, 0)
    assert journal.progress.num_failed == 0
    journal.close()
    journal.write([entry(2)])  # a thread whose task was cancelled
    assert journal.recorded == {1}


def test_a_full_disk_leaves_complete_lines_and_records_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = opened(tmp_path)
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
    assert (tmp_path / "output").read_bytes() == b"1 is answered\n"
    assert journal.recorded == {1}
    journal.write([entry(2)])
    assert (tmp_path / "output").read_bytes() == b"1 is answered\n2 is answered\n"
    journal.close()
