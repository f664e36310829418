"""The files of an application: which of a folder belong to it, and archives that others made."""

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from llmos.core import app_files
from llmos.core.app_files import files_in, pack, pack_folder, unpack, unpack_into
from llmos.core.errors import BadRequest


def archive_of(*entries: tuple[tarfile.TarInfo, bytes]) -> io.BytesIO:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for entry, content in entries:
            archive.addfile(entry, io.BytesIO(content))
    file.seek(0)
    return file


def entry(name: str, size: int = 0, type: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.size, found.type, found.linkname = size, type, target
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "support"
    for name in ("app.yaml", "prompts/a.md", ".env", ".git/config", "__pycache__/a.pyc", "data/ü.txt"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return folder


def test_hidden_files_and_caches_do_not_belong_to_it(folder: Path) -> None:
    assert [str(path) for path in files_in(folder)] == ["app.yaml", "data/ü.txt", "prompts/a.md"]


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"There is no app\.yaml in .*`llmos app init` makes a folder with one"):
        files_in(tmp_path)


def test_a_link_out_of_the_folder_is_refused(folder: Path) -> None:
    os.symlink("/etc/hostname", folder / "data" / "host")
    with pytest.raises(BadRequest, match="is a link that leads out of the folder"):
        files_in(folder)


def test_what_is_no_file_is_refused(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    with pytest.raises(BadRequest, match="pipe is neither a file nor a folder"):
        files_in(folder)


def test_an_archive_gives_the_same_files_again_and_is_always_the_same(folder: Path, tmp_path: Path) -> None:
    archive = pack_folder(folder)
    assert archive == pack_folder(folder)
    copy = unpack_into(archive, tmp_path / "copy")
    assert pack_folder(copy) == archive
    assert (copy / "data" / "ü.txt").read_text() == "data/ü.txt"
    with pytest.raises(BadRequest, match="copy has files"):
        unpack_into(archive, copy)


@pytest.mark.process
def test_the_archive_of_tar_is_one(folder: Path, tmp_path: Path) -> None:
    subprocess.run(["tar", "-cf", tmp_path / "app.tar", "-C", folder, "."], check=True)
    with (tmp_path / "app.tar").open("rb") as file:
        assert dict(unpack(file)) == {name: name.encode() for name in ("app.yaml", "data/ü.txt", "prompts/a.md")}


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([(entry("a", type=tarfile.SYMTYPE, target="/etc/passwd"), b"")], "'a' in the archive isn't a regular file"),
        ([(entry("a", type=tarfile.LNKTYPE, target="b"), b"")], "'a' in the archive isn't a regular file"),
        ([(entry("a", type=tarfile.CHRTYPE), b"")], "'a' in the archive isn't a regular file"),
        ([(entry("a", type=tarfile.GNUTYPE_SPARSE), b"")], "'a' in the archive isn't a regular file"),
        ([(entry("/etc/a", 1), b"a")], "'/etc/a' is not a valid file name"),
        ([(entry("data/b\\a", 1), b"a")], "is not a valid file name"),
        ([(entry("a", 1), b"a"), (entry("./a", 1), b"b")], "'a' is in the archive twice"),
    ],
)
def test_an_archive_with_what_is_no_file_of_a_folder_is_refused(
    bad: list[tuple[tarfile.TarInfo, bytes]], message: str
) -> None:
    with pytest.raises(BadRequest) as caught:
        list(unpack(archive_of(*bad)))
    assert message in caught.value.message


def test_a_name_that_leads_out_of_the_folder_is_no_part_of_it() -> None:
    assert list(unpack(archive_of((entry("../a", 1), b"a"), (entry("b/../../a", 1), b"a")))) == []


@pytest.mark.parametrize("body", [b"", b"no archive", b"PK\3\4" * 300, b"\xff" * 1024])
def test_what_is_no_archive_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest, match="The body isn't a tar archive"):
        list(unpack(io.BytesIO(body)))


def test_a_cut_archive_is_refused(folder: Path) -> None:
    (folder / "data" / "large.txt").write_text("x" * 20_000)
    with pytest.raises(BadRequest):
        list(unpack(io.BytesIO(pack_folder(folder)[:8_000])))


def test_limits_hold_before_a_file_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_files, "MAX_FILE_BYTES", 10)
    with pytest.raises(BadRequest, match="too large at big"):
        list(unpack(io.BytesIO(b"".join(pack([("app.yaml", b"a"), ("big", b"x" * 11)])))))
    monkeypatch.setattr(app_files, "MAX_FILES", 1)
    with pytest.raises(BadRequest, match="too large at b"):
        list(unpack(io.BytesIO(b"".join(pack([("a", b""), ("b", b"")])))))
