"""SealedPath: an encrypted file is read like a plain one, and its key is seen nowhere."""

import shutil
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.core.encryption import sealed_path
from llmos.core.encryption.aead import new_key
from llmos.core.encryption.data_key import DataKey
from llmos.core.encryption.sealed_path import SealedFolder, SealedPath, is_any_sealed, join_keys, plain_size, split_keys
from llmos.core.errors import NotFound, StoreFailed

KEY = DataKey("blob:1", new_key())


@pytest.fixture
def sealed(tmp_path: Path) -> SealedPath:
    path = SealedPath.of(tmp_path / "file", lambda: KEY)
    path.write_bytes(b"one\ntwo\n")
    return path


def test_an_encrypted_file_reads_like_a_plain_one(sealed: SealedPath) -> None:
    assert sealed.read_bytes() == b"one\ntwo\n"
    assert sealed.read_text() == "one\ntwo\n"
    with sealed.open("rb") as file:
        assert file.read(3) == b"one"
        assert file.read() == b"\ntwo\n"
    with sealed.open() as lines:
        assert list(lines) == ["one\n", "two\n"]


def test_a_file_is_written_piece_by_piece(sealed: SealedPath) -> None:
    with sealed.open("wb") as file:
        assert [file.write(piece) for piece in (b"three\n", memoryview(b"four"))] == [6, 4]
        assert file.tell() == 10
    assert sealed.read_bytes() == b"three\nfour"


def test_a_file_whose_writer_fails_cannot_be_read(sealed: SealedPath) -> None:
    def write() -> None:
        with sealed.open("wb") as file:
            file.write(b"three\n")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    with pytest.raises(StoreFailed, match="was modified"):
        sealed.read_bytes()


def test_the_system_sees_the_encrypted_bytes(sealed: SealedPath, tmp_path: Path) -> None:
    shutil.copy(sealed, tmp_path / "copy")
    for content in (Path(sealed).read_bytes(), (tmp_path / "copy").read_bytes()):
        assert b"one" not in content


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 32, 33, 160])
def test_the_plain_size_is_known_without_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    monkeypatch.setattr(sealed_path, "CHUNK_BYTES", 16)
    SealedPath.of(tmp_path / "file", lambda: KEY).write_bytes(b"x" * length)

    def lost() -> DataKey:
        raise NotFound("the key was destroyed")

    path = SealedPath.of(tmp_path / "file", lost)
    assert plain_size(path) == length
    with pytest.raises(NotFound, match="destroyed"):
        path.open("rb")


@given(st.integers(0, 200))
def test_a_plain_file_has_its_own_size(tmp_path_factory: pytest.TempPathFactory, length: int) -> None:
    path = tmp_path_factory.getbasetemp() / "plain"
    path.write_bytes(b"x" * length)
    assert plain_size(path) == length


def test_a_neighbour_of_an_encrypted_file_is_not_read_with_its_key(sealed: SealedPath, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("plain")
    beside = sealed.with_name("plain")
    if isinstance(beside, SealedPath):  # before Python 3.12
        with pytest.raises(AssertionError):
            beside.open()
    else:
        assert beside.read_text() == "plain"


def test_files_and_keys_arrive_in_another_process(sealed: SealedPath, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_bytes(b"plain")
    paths, keys = split_keys({"sealed": sealed, "plain": plain})
    arrived = msgspec.msgpack.decode(msgspec.msgpack.encode(keys), type=dict[str, DataKey])
    files = join_keys(paths, arrived)
    assert {name: path.read_bytes() for name, path in files.items()} == {"sealed": b"one\ntwo\n", "plain": b"plain"}
    assert is_any_sealed(files)
    assert not is_any_sealed({"plain": plain})


def test_a_key_is_in_no_representation(sealed: SealedPath) -> None:
    assert repr(KEY) == "DataKey(object_id='blob:1')"
    assert repr(sealed) == f"SealedPath('{sealed}')"


def test_another_files_key_opens_nothing(sealed: SealedPath) -> None:
    other = SealedPath.of(sealed, lambda: DataKey("blob:2", KEY.key))
    with pytest.raises(StoreFailed, match="blob:2 was modified"):
        other.read_bytes()


def test_files_of_a_scratch_folder_are_encrypted_under_one_key_in_memory(tmp_path: Path) -> None:
    folder = SealedFolder.of(tmp_path)
    (folder / "config.json").write_bytes(b"{}")
    assert (folder / "config.json").read_text() == "{}"
    assert Path(folder / "config.json").read_bytes() != b"{}"
    with pytest.raises(StoreFailed):
        (SealedFolder.of(tmp_path) / "config.json").read_text()
