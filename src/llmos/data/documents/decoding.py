"""Bytes to text, in whatever encoding they are; a guess is noted."""

import codecs

from llmos.core.errors import BadDocument
from llmos.data.documents.builder import DocumentBuilder

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SAMPLE_BYTES = 4096


def marked_encoding(content: bytes) -> tuple[str, int] | None:
    """Return the encoding that a byte order mark says, and the mark's length; None without one."""
    return next(((name, len(mark)) for mark, name in _MARKS if content.startswith(mark)), None)


def unmarked_wide_encoding(content: bytes) -> str | None:
    """Return UTF-16 without a byte order mark, which Latin text shows by its NULs; None if it isn't that."""
    sample = content[:_SAMPLE_BYTES]
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if 10 * max(even, odd) < 4 * (len(sample) // 2) or 20 * min(even, odd) > max(even, odd):
        return None
    return "utf-16-be" if even > odd else "utf-16-le"


def decode(content: bytes, builder: DocumentBuilder, declared: str | None = None) -> str:
    """Return the text of these bytes. Raises BadDocument for content that isn't text.

    `declared`: the encoding that the content names itself.
    """
    if (marked := marked_encoding(content)) is not None:
        return _replacing(content[marked[1] :], marked[0], builder)
    if (wide := unmarked_wide_encoding(content)) is not None:
        builder.notes.append(f"Read as {wide.upper()}, which was guessed: there is no byte order mark.")
        return _replacing(content, wide, builder)
    _check_is_text(content)
    try:
        return _without_nuls(content.decode(), builder)
    except UnicodeDecodeError:
        encoding = declared or _guess(content)
    if declared is None:
        builder.notes.append(f"Read as {_title(encoding)}, which was guessed: it isn't UTF-8.")
    return _without_nuls(_replacing(content, encoding, builder), builder)


def _guess(content: bytes) -> str:
    from resiliparse.parse.encoding import detect_encoding

    guessed = str(detect_encoding(content))
    try:
        content.decode(guessed)
    except (UnicodeDecodeError, LookupError):
        return "latin-1"  # It has a character for each byte.
    return guessed


def _title(encoding: str) -> str:
    return {"cp1252": "Latin-1 (Windows-1252)", "latin-1": "Latin-1"}.get(encoding, encoding.upper())


def _replacing(content: bytes, encoding: str, builder: DocumentBuilder) -> str:
    text = content.decode(encoding, errors="replace")
    if replaced := text.count("\ufffd"):
        builder.notes.append(f"{replaced:,} characters can't be read as {_title(encoding)}, and became \ufffd.")
    return text


def _without_nuls(text: str, builder: DocumentBuilder) -> str:
    if nuls := text.count("\x00"):
        builder.notes.append(f"{nuls:,} NUL characters were left out.")
    return text.replace("\x00", "")


def _check_is_text(content: bytes) -> None:
    sample = content[:_SAMPLE_BYTES]
    controls = sum(sample.count(each) for each in range(32) if each not in b"\t\n\r\x0b\x0c\x1b")
    if 10 * controls > len(sample):
        raise BadDocument(
            "It is neither text nor a format that can be read here: PDF, HTML, DOCX, XLSX, Markdown, CSV or text."
        )
