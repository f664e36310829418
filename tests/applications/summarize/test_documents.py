"""Documents: which files an application reads, and where citations point."""

from pathlib import Path

import pytest

from llmos.applications.summarize.documents import file_document, text_document
from llmos.core.errors import BadRequest


def test_a_citation_has_the_text_at_its_place() -> None:
    document = text_document("Doors unlock at nine. Batteries are excluded.", "hours.md")
    citation = document.cite((22, 45))
    assert (citation.document, citation.quote) == ("hours.md", "Batteries are excluded.")
    assert document.text[citation.start : citation.end] == citation.quote
    assert citation.digest.startswith("sha256:")


def test_a_file_of_the_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "minutes.md").write_bytes(b"\xef\xbb\xbfGr\xc3\xbc\xc3\x9fe.")
    assert file_document(tmp_path, "minutes.md").text == "Grüße."


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "link", "a/../../secret"])
def test_a_file_outside_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "secret").write_text("secret")
    (folder / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(BadRequest, match="outside of the folder"):
        file_document(folder, name)


def test_what_is_no_text_or_not_there_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "scan.pdf").write_bytes(b"%PDF\xff\xfe")
    with pytest.raises(BadRequest, match=r"isn't UTF-8 text\. Add it to knowledge"):
        file_document(tmp_path, "scan.pdf")
    with pytest.raises(BadRequest, match="No such file"):
        file_document(tmp_path, "other.md")
    with pytest.raises(BadRequest, match="Is a directory"):
        file_document(tmp_path, ".")
