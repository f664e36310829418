"""Documents are parsed in a process apart: whatever a file does there is one message here."""

import io
import subprocess
import sys
import zipfile
import zlib
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pypdf
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmos.core import fork_server
from llmos.core.errors import BadDocument
from llmos.data.documents import parsing
from llmos.data.documents.document import Document
from llmos.data.documents.parser_process import parse_content
from llmos.data.documents.parsing import DocumentLimits, parse_document
from support.document_files import Bookmark, Line, docx_table, make_docx, make_pdf, make_xlsx, paragraph
from support.examples import examples

pytestmark = pytest.mark.process

FILES = {
    "a.pdf": make_pdf([Line("Title", 20), "Text 你好."], ["More."], title="T", outline=[Bookmark("Title", 1)]),
    "a.docx": make_docx(paragraph("Title", "heading 1"), docx_table(["a", "b"], ["1", "2"]), title="T"),
    "a.xlsx": make_xlsx(Sheet=[["a", "b"], [1, "你"]]),
    "a.html": b"<!doctype html><html lang=de><h1>Title</h1><table><tr><td rowspan=2>a<td>b</table><ul><li>c",
    "a.md": b"---\ntitle: T\n---\n# Title\n\n| a |\n|---|\n| b |\n",
    "a.csv": "a;b\nü;你\n".encode(),
    "a.txt": "Grüße".encode("latin-1"),
}


@pytest.fixture
def parse(tmp_path: Path):
    """Return a function that parses content in the other process."""

    def parse(content: bytes, name: str = "file.bin", **limits: int) -> Document:
        path = tmp_path / "content"
        path.write_bytes(content)
        return parse_document(path, name, replace(DocumentLimits(), **limits))

    return parse


@pytest.fixture
def hostile(monkeypatch, parse):
    """Return a function that runs code in the process, as a parser that a file took over would."""
    script = (
        "from llmos.data.documents import parser_process\nfrom llmos.data.documents.parsers import text\n"
        "def parse(content, builder):\n    import os, signal, socket\n    exec(content, {**locals()})\n"
        "text.parse = parse\nparser_process.main()"
    )
    popen = subprocess.Popen
    monkeypatch.setattr(
        fork_server.subprocess, "Popen", lambda command, **more: popen([sys.executable, "-c", script], **more)
    )
    monkeypatch.setattr(parsing, "_idle", [])
    yield lambda code, **limits: parse(code.encode(), "code.txt", **limits).text
    for server in parsing._idle:
        server.close()


@pytest.mark.parametrize("name", FILES)
def test_the_other_process_gives_the_same_document(parse, name):
    assert parse(FILES[name], name) == parse_content(FILES[name], name, 1_000_000)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("bytes(1 << 34)", "takes more than 1,024 MiB of memory"),
        ("while True: pass", "takes more than 1 seconds of CPU time"),
        ("signal.pause()", "takes longer than 1 seconds"),
        ("os.abort()", r"crashes \(SIGABRT\)"),
        ("os._exit(3)", r"fails \(status 3\)"),
        ("{}['page']", r"fails \(KeyError: 'page'\)"),
        ("def f(): f()\nf()", "It is nested too deeply"),
        ("builder.add_block('x' * 2_000_000)", "It has more than 1,000,000 characters of text"),
        (
            "builder.title = 'x' * 99_000_000; builder.add_block('x')",
            "gives more",
        ),
    ],
)
def test_a_parser_over_a_limit_is_one_message(hostile, code, reason):
    limits = {"pause": {"wall_seconds": 1}, "while": {"cpu_seconds": 1}}
    short = next((each for word, each in limits.items() if word in code), {})
    with pytest.raises(BadDocument, match=rf"code\.txt can't be read\. .*{reason}"):
        hostile(code, text_characters=1_000_000, **short)
    assert hostile("builder.add_block('still here')") == "still here"


def test_a_parser_reaches_no_file_no_network_and_no_secret(hostile, monkeypatch):
    monkeypatch.setenv("LLMOS_OWNER_KEY", "secret")
    code = """
for attempt in (lambda: open('/etc/hostname'), lambda: open('/proc/self/environ'), socket.socket):
    try:
        attempt()
    except OSError as error:
        builder.add_block(os.strerror(error.errno))
builder.add_block(str('secret' in os.environ.values()))
"""
    assert hostile(code).split("\n\n") == ["Too many open files"] * 3 + ["False"]


@pytest.fixture
def idle(monkeypatch):
    """The idle processes of one test, instead of those that other tests of this process have started."""
    idle = []
    monkeypatch.setattr(parsing, "_idle", idle)
    yield idle
    for server in idle:
        server.close()


def test_a_document_that_takes_long_makes_no_other_one_wait(parse, idle):
    parse(b"Hi")
    with parsing._server() as busy, parsing._server() as other:
        assert other is not busy
        assert idle == []
    assert sorted(map(id, idle)) == sorted([id(busy), id(other)])


def test_few_idle_processes_are_kept(idle):
    with ExitStack() as lent:
        for _ in range(parsing._MAX_IDLE + 1):
            lent.enter_context(parsing._server())
    assert len(idle) == parsing._MAX_IDLE


def test_a_killed_process_is_started_again(parse, idle):
    parse(b"Hi")
    process = idle[0]._process
    assert process is not None
    process.kill()
    process.wait()
    assert parse(b"Hi").text == "Hi"


def test_a_file_over_the_limit_and_one_that_is_missing(parse, tmp_path):
    with pytest.raises(BadDocument, match=r"big\.txt can't be read\. It has more than 1 MiB"):
        parse(bytes(2 << 20), "big.txt", file_bytes=1 << 20)
    with pytest.raises(FileNotFoundError):
        parse_document(tmp_path / "missing.pdf")


def encrypted_pdf(password: str) -> bytes:
    writer = pypdf.PdfWriter(io.BytesIO(make_pdf(["Text."])))
    writer.encrypt(password, "owner", algorithm="AES-256")
    with io.BytesIO() as data:
        writer.write(data)
        return data.getvalue()


def looping_pdf() -> bytes:
    """Return a PDF whose tree of pages has itself in it."""
    return make_pdf(["Text."], extra={2: b"<< /Type /Pages /Kids [2 0 R 10 0 R] /Count 2 /Parent 2 0 R >>"})


def looping_outline() -> bytes:
    entry = b"<< /Title (A) /Parent 7 0 R /Next 12 0 R /First 12 0 R /Last 12 0 R /Dest [10 0 R /Fit] >>"
    return make_pdf(["Text."], outline=[Bookmark("A", 1)], extra={12: entry})


def bomb(name: str) -> bytes:
    """Return a DOCX or XLSX of a few hundred kilobytes that has 300 MiB in it."""
    files = FILES["a.docx" if "word" in name else "a.xlsx"]
    with io.BytesIO(files) as data:
        with zipfile.ZipFile(data, "a", zipfile.ZIP_DEFLATED) as archive, archive.open(name, "w") as file:
            for _ in range(300):
                file.write(bytes(1 << 20))
        return data.getvalue()


def pdf_bomb() -> bytes:
    """Return a PDF whose page is a stream of 90 MB."""
    compressor = zlib.compressobj(9)
    stream = b"".join([*[compressor.compress(b"(x) Tj " * (1 << 17)) for _ in range(100)], compressor.flush()])
    header = b"<< /Length %d /Filter /FlateDecode >>" % len(stream)
    return make_pdf(["Text."], extra={11: header + b"\nstream\n" + stream + b"\nendstream"})


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: encrypted_pdf("secret"), "The PDF is encrypted. Save it without a password first"),
        (lambda: bomb("word/media/big.xml"), "It unpacks to more than 256 MiB"),
        (lambda: bomb("xl/worksheets/big.xml"), "It unpacks to more than 256 MiB"),
        (lambda: b"<html>" + b"<table><tr><td>" * 100_000 + b"x", "Parsing it takes more than 1 seconds of CPU time"),
        (pdf_bomb, "The PDF is broken: Limit reached"),
        (lambda: far_cell(), r"Parsing it crashes \(SIGABRT\)"),
        (looping_pdf, "The PDF is broken: Detected cyclic page references\\.$"),
    ],
)
def test_hostile_files_are_one_message(parse, make, reason):
    with pytest.raises(BadDocument, match=rf"file\.bin can't be read\. .*{reason}"):
        parse(make(), cpu_seconds=1 if "CPU" in reason else 60)
    assert parse(b"Hi").text == "Hi"


def far_cell() -> bytes:
    """Return an XLSX with two cells, as far from each other as the format allows."""
    sheet = (
        '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
        '<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>2</v></c></row>'
        "</sheetData></worksheet>"
    )
    return make_xlsx({"xl/worksheets/sheet1.xml": sheet}, A=[["a"]])


@pytest.mark.parametrize("make", [lambda: encrypted_pdf(""), looping_outline])
def test_files_that_are_odd_are_parsed_all_the_same(parse, make):
    assert "Text." in parse(make()).text


def test_deep_html_is_parsed(parse):
    assert parse(b"<html>" + b"<div>" * 20_000 + b"<ul><li>" * 5_000 + b"x").text.strip() == "- x"


@settings(
    max_examples=examples(150, fast=5), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    name=st.sampled_from([*FILES]),
    cuts=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 20), st.binary(max_size=20)), max_size=4),
)
def test_no_bytes_do_more_than_raise_bad_document(parse, name, cuts):
    content = bytearray(FILES[name])
    for start, length, inserted in cuts:
        content[start % (len(content) + 1) : start % (len(content) + 1) + length] = inserted
    try:
        document = parse(bytes(content), name)
    except BadDocument:
        return
    document.text.encode()
    assert all(document.text[each.start : each.end] for each in document.sections)
