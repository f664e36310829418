"""file: a folder on this machine."""

import pytest

from llmos.core.errors import DownloadFailed
from llmos.models.sources import Access, Wanted, fetch


@pytest.fixture
def wanted(tmp_path, pin):
    return Wanted(pin("tiny.gguf", b"weights"), "sub/tiny.gguf", tmp_path / "tiny.part")


def get(folder, wanted):
    fetch(f"file://{str(folder).replace(' ', '%20')}", [wanted], Access(), lambda *_: None)


def test_a_file_is_copied_and_the_original_left_alone(tmp_path, wanted):
    source = tmp_path / "my models" / "sub" / "tiny.gguf"
    source.parent.mkdir(parents=True)
    source.write_bytes(b"weights")
    wanted.part.write_bytes(b"an earlier attempt from elsewhere")
    get(tmp_path / "my models", wanted)
    assert wanted.part.read_bytes() == b"weights"
    assert not wanted.part.samefile(source)


def test_a_missing_file_is_named(tmp_path, wanted):
    with pytest.raises(DownloadFailed, match=r"sub/tiny\.gguf can't be read \(No such file"):
        get(tmp_path, wanted)


def test_a_file_of_another_size_is_not_copied(tmp_path, wanted):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "tiny.gguf").write_bytes(b"other weights")
    with pytest.raises(DownloadFailed, match="has 13 bytes, but the catalog pins 7"):
        get(tmp_path, wanted)
    assert not wanted.part.exists()
