"""file: sources, folders on this machine."""

import pytest

from llmos.core.errors import DownloadFailed
from llmos.core.sources import Access, Download
from llmos.models.sources import fetch_files


@pytest.fixture
def download(tmp_path, pin):
    return Download(pin("tiny.gguf", b"weights"), "sub/tiny.gguf", tmp_path / "tiny.part")


def get(folder, download):
    fetch_files(f"file://{str(folder).replace(' ', '%20')}", [download], Access(), lambda *_: None)


def test_a_file_is_copied_and_the_original_unchanged(tmp_path, download):
    source = tmp_path / "my models" / "sub" / "tiny.gguf"
    source.parent.mkdir(parents=True)
    source.write_bytes(b"weights")
    download.part.write_bytes(b"an earlier attempt from elsewhere")
    get(tmp_path / "my models", download)
    assert download.part.read_bytes() == b"weights"
    assert not download.part.samefile(source)


def test_a_missing_file_is_named(tmp_path, download):
    with pytest.raises(DownloadFailed, match=r"sub/tiny\.gguf can't be read \(No such file"):
        get(tmp_path, download)


def test_a_file_of_another_size_is_not_copied(tmp_path, download):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "tiny.gguf").write_bytes(b"other weights")
    with pytest.raises(DownloadFailed, match="has 13 bytes; the catalog pins 7"):
        get(tmp_path, download)
    assert not download.part.exists()
