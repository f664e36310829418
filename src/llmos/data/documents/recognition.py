"""Recognizes formats that can't be read, so that the message says what the file is and what to do."""

from llmos.core.errors import BadDocument
from llmos.data.documents.archive import names_in

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_IMAGES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"II*\x00", b"MM\x00*", b"BM", b"\x00\x00\x01\x00")
_WORD_STREAM, _ENCRYPTED_STREAM = ("WordDocument".encode("utf-16-le"), "EncryptedPackage".encode("utf-16-le"))


def refuse_unreadable(content: bytes) -> None:
    """Raise BadDocument for content in a known format that can't be read here."""
    if not content.strip(b"\x00 \t\r\n"):
        raise BadDocument("It is empty.")
    if content.startswith(_OLE):
        if _ENCRYPTED_STREAM in content:
            raise BadDocument("It is encrypted. Save it without a password first.")
        if _WORD_STREAM in content:
            raise BadDocument("It is a DOC of Word 97 to 2003. Save it as DOCX first.")
    if content.startswith(b"{\\rtf"):
        raise BadDocument("It is RTF. Save it as DOCX first.")
    if content.startswith(b"PK\x03\x04"):
        _refuse_archive(names_in(content))
    if content.startswith(_IMAGES) or (content[:4] == b"RIFF" and content[8:12] == b"WEBP"):
        raise BadDocument("It is an image. Recognize its text first (OCR), such as with ocrmypdf.")


def _refuse_archive(names: frozenset[str]) -> None:
    if any(name.startswith("ppt/") for name in names):
        raise BadDocument("It is a presentation (PPTX). Export it as PDF first.")
    if "content.xml" in names:
        raise BadDocument("It is an OpenDocument file. Save it as DOCX or XLSX first.")
    if "META-INF/container.xml" in names:
        raise BadDocument("It is an EPUB. Unpack it and import the HTML files in it.")
    if not any(name.startswith(("word/", "xl/")) for name in names):
        raise BadDocument("It is an archive that is neither DOCX nor XLSX. Unpack it first.")
