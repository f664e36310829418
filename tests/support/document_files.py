"""Documents made in tests, byte by byte: PDF, DOCX and XLSX. Tests know each byte of them."""

import io
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text on a page."""

    text: str
    size: int = 11


@dataclass(frozen=True, slots=True)
class Bookmark:
    """An entry of a PDF's outline."""

    title: str
    page: int
    """From 1 on."""
    level: int = 1


def make_pdf(
    *pages: Sequence[Line | str],
    title: str | None = None,
    language: str | None = None,
    outline: Sequence[Bookmark] = (),
    extra: Mapping[int, bytes] = {},
) -> bytes:
    """Return a PDF with these pages. Every character has a glyph of its own number and a way back to Unicode.

    `extra`: {number of an object: its content}, in place of the one that is written.
    """
    objects: dict[int, bytes] = {}
    characters = sorted({each for page in pages for line in page for each in _line(line).text})
    first_page = 10
    numbers = [first_page + 2 * index for index in range(len(pages))]
    kids = " ".join(f"{number} 0 R" for number in numbers)
    lang = f" /Lang ({language})" if language else ""
    outlines = " /Outlines 7 0 R" if outline else ""
    objects[1] = f"<< /Type /Catalog /Pages 2 0 R{lang}{outlines} >>".encode()
    objects[2] = f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode()
    objects[3] = (
        b"<< /Type /Font /Subtype /Type0 /BaseFont /F /Encoding /Identity-H /DescendantFonts [4 0 R]"
        b" /ToUnicode 5 0 R >>"
    )
    objects[4] = (
        b"<< /Type /Font /Subtype /CIDFontType2 /BaseFont /F /DW 500"
        b" /CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> >>"
    )
    objects[5] = _stream(_to_unicode(characters))
    objects[6] = f"<< /Title {_text(title)} >>".encode() if title else b"<< >>"
    for number, page in zip(numbers, pages, strict=True):
        objects[number] = (
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {number + 1} 0 R"
            " /Resources << /Font << /F1 3 0 R >> >> >>"
        ).encode()
        objects[number + 1] = _stream(_content([_line(line) for line in page], characters))
    if outline:
        objects |= _outline(outline, numbers, first_page + 2 * len(pages))
    return _pdf_file({**objects, **extra})


def _line(line: Line | str) -> Line:
    return Line(line) if isinstance(line, str) else line


def _text(text: str) -> str:
    return f"<FEFF{text.encode('utf-16-be').hex()}>"


def _stream(content: bytes) -> bytes:
    return b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content)


def _to_unicode(characters: Sequence[str]) -> bytes:
    lines = [f"<{index + 1:04x}> <{each.encode('utf-16-be').hex()}>" for index, each in enumerate(characters)]
    blocks = [lines[start : start + 100] for start in range(0, len(lines), 100)]
    mapped = "\n".join(f"{len(block)} beginbfchar\n" + "\n".join(block) + "\nendbfchar" for block in blocks)
    return (
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapType 2 def\n"
        f"1 begincodespacerange <0000> <ffff> endcodespacerange\n{mapped}\nendcmap end end"
    ).encode()


def _content(lines: Iterable[Line], characters: Sequence[str]) -> bytes:
    parts, y = [], 800
    for line in lines:
        codes = "".join(f"{characters.index(each) + 1:04x}" for each in line.text)
        parts.append(f"BT /F1 {line.size} Tf 1 0 0 1 50 {y} Tm <{codes}> Tj ET")
        y -= 2 * line.size
    return "\n".join(parts).encode()


def _outline(bookmarks: Sequence[Bookmark], pages: Sequence[int], first: int) -> dict[int, bytes]:
    """Return the objects of an outline, where each bookmark is below the last one of a lower level."""
    parents: list[int] = []
    for index, each in enumerate(bookmarks):
        above = [number for number in range(index) if bookmarks[number].level < each.level]
        parents.append(above[-1] if above else -1)
    objects = {}
    for index in range(-1, len(bookmarks)):
        children = [number for number, parent in enumerate(parents) if parent == index]
        entries = f" /First {first + children[0]} 0 R /Last {first + children[-1]} 0 R" if children else ""
        if index == -1:
            objects[7] = f"<< /Type /Outlines{entries} >>".encode()
            continue
        each, siblings = bookmarks[index], [n for n, parent in enumerate(parents) if parent == parents[index]]
        position = siblings.index(index)
        following = f" /Next {first + siblings[position + 1]} 0 R" if position + 1 < len(siblings) else ""
        before = f" /Prev {first + siblings[position - 1]} 0 R" if position else ""
        parent = 7 if parents[index] == -1 else first + parents[index]
        objects[first + index] = (
            f"<< /Title {_text(each.title)} /Parent {parent} 0 R{before}{following}{entries}"
            f" /Dest [{pages[each.page - 1]} 0 R /Fit] >>"
        ).encode()
    return objects


def _pdf_file(objects: Mapping[int, bytes]) -> bytes:
    data, offsets = bytearray(b"%PDF-1.7\n"), {}
    for number in sorted(objects):
        offsets[number] = len(data)
        data += b"%d 0 obj\n%s\nendobj\n" % (number, objects[number])
    start = len(data)
    data += b"xref\n0 1\n0000000000 65535 f \n"
    for number, offset in offsets.items():
        data += b"%d 1\n%010d 00000 n \n" % (number, offset)
    data += b"trailer\n<< /Size %d /Root 1 0 R /Info 6 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (max(objects) + 1, start)
    return bytes(data)


_DOCX_RELATIONS = """<?xml version="1.0" encoding="UTF-8"?>
<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">
<Relationship Id="r1" Target="word/document.xml"
 Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"/>
</Relationships>"""
_TYPES = """<?xml version="1.0" encoding="UTF-8"?>
<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">
<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>
<Default Extension="xml" ContentType="application/xml"/>{overrides}</Types>"""
_W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def paragraph(text: str, style: str | None = None) -> str:
    """Return a paragraph of a DOCX. `style`: such as "heading 1"."""
    properties = f'<w:pPr><w:pStyle w:val="{style.replace(" ", "")}"/></w:pPr>' if style else ""
    return f'<w:p>{properties}<w:r><w:t xml:space="preserve">{escape(text)}</w:t></w:r></w:p>'


def docx_table(*rows: Sequence[str]) -> str:
    """Return a table of a DOCX, whose first row isn't marked as a header: Word doesn't mark it by itself."""
    cells = ["".join(f"<w:tc>{paragraph(cell)}</w:tc>" for cell in row) for row in rows]
    return "<w:tbl>" + "".join(f"<w:tr>{row}</w:tr>" for row in cells) + "</w:tbl>"


def make_docx(
    *blocks: str, title: str | None = None, parts: Mapping[str, str | bytes] = {}, declared: str = ""
) -> bytes:
    """Return a DOCX with these paragraphs and tables. `parts`: other files in it. `declared`: XML before its root."""
    styles = "".join(
        f'<w:style w:type="paragraph" w:styleId="{name.replace(" ", "")}"><w:name w:val="{name}"/></w:style>'
        for name in ("Title", *(f"heading {level}" for level in range(1, 7)))
    )
    relations = """<?xml version="1.0" encoding="UTF-8"?>
<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">
<Relationship Id="s1" Target="styles.xml"
 Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/styles"/>
<Relationship Id="s2" Target="footnotes.xml"
 Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/footnotes"/>
<Relationship Id="s3" Target="numbering.xml"
 Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/numbering"/></Relationships>"""
    core = (
        '<cp:coreProperties xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/core-properties"'
        f' xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{escape(title or "")}</dc:title>'
        "<dc:language>de-DE</dc:language></cp:coreProperties>"
    )
    files: dict[str, str | bytes] = {
        "[Content_Types].xml": _TYPES.format(overrides=""),
        "_rels/.rels": _DOCX_RELATIONS,
        "word/_rels/document.xml.rels": relations,
        "word/styles.xml": f"<w:styles {_W}>{styles}</w:styles>",
        "word/document.xml": f"{declared}<w:document {_W}><w:body>{''.join(blocks)}</w:body></w:document>",
        **({"docProps/core.xml": core} if title else {}),
        **parts,
    }
    return make_zip(files)


def make_xlsx(parts: Mapping[str, str | bytes] = {}, /, **sheets: Sequence[Sequence[str | float | None]]) -> bytes:
    """Return an XLSX with these sheets, {name: rows}. `parts`: files in it, in place of those that are written."""
    main = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    relation = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    listed = "".join(
        f'<sheet name="{escape(name)}" sheetId="{index}" r:id="r{index}"/>' for index, name in enumerate(sheets, 1)
    )
    related = "".join(
        f'<Relationship Id="r{index}" Target="worksheets/sheet{index}.xml" Type="{relation}/worksheet"/>'
        for index in range(1, len(sheets) + 1)
    )
    package = "http://schemas.openxmlformats.org/package/2006/relationships"
    files: dict[str, str | bytes] = {
        "[Content_Types].xml": _TYPES.format(overrides=""),
        "_rels/.rels": f'<Relationships xmlns="{package}"><Relationship Id="r1" Target="xl/workbook.xml"'
        f' Type="{relation}/officeDocument"/></Relationships>',
        "xl/workbook.xml": f'<workbook {main} xmlns:r="{relation}"><sheets>{listed}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}">{related}</Relationships>',
    }
    for index, rows in enumerate(sheets.values(), 1):
        lines = "".join(
            f'<row r="{row}">' + "".join(_cell(value, row, column) for column, value in enumerate(values)) + "</row>"
            for row, values in enumerate(rows, 1)
        )
        files[f"xl/worksheets/sheet{index}.xml"] = f"<worksheet {main}><sheetData>{lines}</sheetData></worksheet>"
    return make_zip({**files, **parts})


def _cell(value: str | float | None, row: int, column: int) -> str:
    place = f"{chr(65 + column)}{row}"
    if value is None:
        return ""
    if isinstance(value, str):
        return f'<c r="{place}" t="inlineStr"><is><t>{escape(value)}</t></is></c>'
    return f'<c r="{place}"><v>{value}</v></c>'


def make_zip(files: Mapping[str, str | bytes]) -> bytes:
    """Return an archive with these files."""
    with io.BytesIO() as data:
        with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return data.getvalue()
