"""DOCX, converted by mammoth. Word has no pages before it prints, so there are no page numbers.

Page headers and footers, comments and images are left out. A table's first row is its header, marked as such or not.
"""

import io
import re
import zipfile
from xml.parsers import expat

import mammoth
from resiliparse.parse.html import HTMLTree

from llmos.core.errors import BadDocument
from llmos.data.documents.archive import check_archive, names_in
from llmos.data.documents.builder import DocumentBuilder
from llmos.data.documents.dom_markdown import write_markdown

SUFFIXES = (".docx", ".docm")
RANK = 0

_STYLES = """
p[style-name='Title'] => h1:fresh
p[style-name='Subtitle'] => p:fresh
p[style-name='Quote'] => blockquote > p:fresh
p[style-name='Intense Quote'] => blockquote > p:fresh
p[style-name='Code'] => pre:separator('\\n')
"""
_BACK_LINK = re.compile(r' <a href="#(?:foot|end)note-ref-[^"]*">\u2191</a>')
_BODY = re.compile(r"word/(document\d*|footnotes|endnotes)\.xml")
_LEFT_OUT = (
    (re.compile(r"word/(header|footer)\d*\.xml"), "page_header_footer"),
    (re.compile(r"word/comments\.xml"), "comment"),
)
_MAX_DEPTH = 200
"""mammoth and its parser of XML are recursive."""


def fits(content: bytes, suffix: str) -> bool:
    return content.startswith(b"PK\x03\x04") and any(name.startswith("word/") for name in names_in(content))


def parse(content: bytes, builder: DocumentBuilder) -> None:
    archive = check_archive(content)
    for name in archive.namelist():
        if _BODY.fullmatch(name):
            builder.find(_text_in(archive, name))
        what = next((what for pattern, what in _LEFT_OUT if pattern.fullmatch(name)), None)
        if what is not None and (text := _text_in(archive, name)).strip():
            builder.find(text)
            builder.leave_out(what, text)
    _take_properties(archive, builder)

    def leave_out_image(image: object) -> list[object]:
        builder.leave_out("image")
        return []

    result = mammoth.convert_to_html(
        io.BytesIO(content), style_map=_STYLES, convert_image=leave_out_image, external_file_access=False
    )
    write_markdown(HTMLTree.parse(f"<body>{_BACK_LINK.sub('', result.value)}</body>"), builder)


def _text_in(archive: zipfile.ZipFile, name: str) -> str:
    """Return the text of one file in the archive. Raises BadDocument for XML that is broken or nested too deeply."""
    reader = _TextReader()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.add
    try:
        parser.Parse(archive.read(name), True)
    except expat.ExpatError as error:
        raise BadDocument(f"{name} in it isn't XML: {error}.") from None
    return "".join(reader.texts)


class _TextReader:
    """Collects the text of <w:t>. Of alternatives it takes the one that mammoth takes."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._depth = self._choice_depth = 0
        self._is_text = False

    def start(self, tag: str, attributes: object) -> None:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise BadDocument(f"Its XML is nested more than {_MAX_DEPTH} levels deep. It may be hostile.")
        name = tag.rpartition(" ")[2]
        if name == "Choice" and not self._choice_depth:
            self._choice_depth = self._depth
        self._is_text = name == "t" and not self._choice_depth
        if name == "p":
            self.texts.append("\n")

    def end(self, tag: str) -> None:
        if self._depth == self._choice_depth:
            self._choice_depth = 0
        self._depth -= 1
        self._is_text = False

    def add(self, text: str) -> None:
        if self._is_text:
            self.texts.append(text)


def _take_properties(archive: zipfile.ZipFile, builder: DocumentBuilder) -> None:
    """Take the title and the language of the document's properties, if it has some."""
    found: dict[str, str] = {}
    open_tag = ""

    def start(tag: str, attributes: object) -> None:
        nonlocal open_tag
        open_tag = tag.rpartition(" ")[2]

    def add(text: str) -> None:
        found[open_tag] = found.get(open_tag, "") + text

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler, parser.CharacterDataHandler = start, add
    try:
        parser.Parse(archive.read("docProps/core.xml"), True)
    except (KeyError, expat.ExpatError):
        return
    builder.title, builder.language = found.get("title"), found.get("language")
