"""Documents as rows: a section each, with the page or heading that it comes from."""

import gzip
import json
from pathlib import Path

import pytest

from llmos.core.errors import BadRequest
from llmos.data.datasets.folder import find_layout
from llmos.data.datasets.importing import examine, import_files
from llmos.data.datasets.records import ImportOptions
from llmos.data.documents.parser_process import parse_content
from llmos.data.documents.passages import passages
from support.document_files import Line, make_docx, make_pdf, make_xlsx, paragraph

pytestmark = pytest.mark.process


@pytest.fixture
def load(datasets):
    """Return a function that imports a path, and returns the version and {origin: text}."""

    def load(path: Path, **options: object):
        layout = find_layout(path)
        version = import_files(datasets, "guide", layout, ImportOptions(**options), source=f"import:{path.name}")
        return version, {row.origin: json.loads(row.body)["text"] for row in datasets.rows(version)}

    return load


def test_a_document_becomes_a_row_for_each_section(load, tmp_path):
    path = tmp_path / "guide.md"
    path.write_text("Intro.\n\n# One\n\n## Two\n\nText 你好.\n\n# Three\n\nMore.\n")
    preview = examine(find_layout(path), ImportOptions())
    assert (preview.shape.name, preview.rows[0].origin, preview.left_out) == ("text", "guide.md", [])
    version, rows = load(path)
    assert rows == {
        "guide.md": "Intro.",
        "guide.md#Two": "# One\n\n## Two\n\nText 你好.",
        "guide.md#Three": "# Three\n\nMore.",
    }
    assert version.kind == "text"
    assert version.report["documents"] == {"count": 1, "kept": 1.0, "left_out": {}, "notes": []}


def test_rows_of_a_pdf_name_its_pages(load, tmp_path):
    path = tmp_path / "guide.pdf"
    path.write_bytes(make_pdf(["Nothing but text."], ["On two pages."], []))
    version, rows = load(path)
    assert rows == {"guide.pdf#page=1": "Nothing but text.", "guide.pdf#page=2": "On two pages."}
    assert version.report["documents"]["left_out"] == {"page_without_text": 1}
    assert version.report["documents"]["notes"] == ["guide.pdf: page_without_text: On page 3."]
    path.write_bytes(make_pdf([Line("One", 20), "Some text below."], ["It goes on.", Line("Two", 20), "Text."]))
    assert load(path)[1] == {
        "guide.pdf#page=1": "# One\n\nSome text below.\n\nIt goes on.",
        "guide.pdf#page=2": "# Two\n\nText.",
    }


def test_a_folder_of_documents_is_one_version(load, tmp_path):
    folder = tmp_path / "handbook"
    (folder / "train").mkdir(parents=True)
    (folder / "Testing guide.docx").write_bytes(make_docx(paragraph("Test it.")))
    (folder / "notes.txt").write_text("First line.\nSecond line.")
    (folder / "page.html.gz").write_bytes(gzip.compress(b"<html><nav>Menu</nav><h1>Hi</h1>You"))
    (folder / "train" / "table.xlsx").write_bytes(make_xlsx(Prices=[["a"], [1]]))
    version, rows = load(folder)
    assert rows == {
        "Testing guide.docx": "Test it.",
        "notes.txt": "First line.\nSecond line.",
        "page.html#Hi": "# Hi\n\nYou",
        "train/table.xlsx#Prices": "# Prices\n\n| a |\n| --- |\n| 1 |",
    }
    assert version.report["documents"]["count"] == 4
    assert 0.9 < version.report["documents"]["kept"] < 1


def test_splits_come_from_folders_and_not_from_titles(datasets, load, tmp_path):
    for name in ("test/One.md", "Training plan.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"Text of {name}.")
    version, _ = load(tmp_path)
    assert {row.origin: row.split for row in datasets.rows(version)} == {
        "test/One.md": "test",
        "Training plan.md": None,
    }


def test_bad_documents_are_named_and_can_be_skipped(load, datasets, tmp_path):
    (tmp_path / "a.pdf").write_bytes(make_pdf([], []))
    (tmp_path / "b.md").write_text("Good.")
    (tmp_path / "c.docx.gz").write_bytes(b"no gzip")
    with pytest.raises(BadRequest) as caught:
        load(tmp_path)
    assert "a.pdf can't be read. The PDF has 2 pages and no text: it is scanned" in caught.value.message
    assert "c.docx.gz can't be decompressed" in caught.value.message
    assert not datasets.list()
    version, rows = load(tmp_path, on_error="skip")
    assert (rows, version.report["skipped"]) == ({"b.md": "Good."}, 2)


def test_a_single_bad_document_says_why(load, tmp_path):
    path = tmp_path / "a.pdf"
    path.write_bytes(b"\x89PNG and so on")
    with pytest.raises(BadRequest, match=r"a\.pdf can't be read\. It is an image"):
        load(path)


def test_pages_beside_files_of_rows_describe_them(load, tmp_path):
    (tmp_path / "data.jsonl").write_text('{"text": "A row."}\n')
    (tmp_path / "CHANGES.md").write_text("# Changes\n\nNone.")
    assert load(tmp_path)[1] == {"data.jsonl:1": "A row."}


def test_passages_cover_a_document_without_overlapping():
    document = parse_content(b"# A\n\n## B\n\ntext\n\n# C\n\n## D\n", "a.md", 1000)
    assert [document.text[start:end] for start, end, _ in passages(document)] == ["# A\n\n## B\n\ntext", "# C\n\n## D"]
