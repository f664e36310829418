"""Plain text: as it is, without headings. Whatever no other parser fits is text, or it is refused."""

from llmos.data.documents.builder import DocumentBuilder
from llmos.data.documents.decoding import decode

SUFFIXES = (".txt", ".text")
RANK = 9


def fits(content: bytes, suffix: str) -> bool:
    return True


def parse(content: bytes, builder: DocumentBuilder) -> None:
    text = decode(content, builder)
    builder.find(text)
    builder.add_block(text)
