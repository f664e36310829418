"""HTML, parsed by resiliparse as browsers do it. Navigation, forms and hidden text are left out."""

import re

from resiliparse.parse.encoding import detect_encoding
from resiliparse.parse.html import HTMLTree

from llmos.data.documents.builder import DocumentBuilder
from llmos.data.documents.decoding import decode, marked_encoding, unmarked_wide_encoding
from llmos.data.documents.dom_markdown import write_markdown

SUFFIXES = (".html", ".htm", ".xhtml")
RANK = 1

_SAMPLE_BYTES = 4096
_BEGINNING = re.compile(  # possessive: many comments aren't tried in all ways to part them
    r"\s*+(?:<\?xml[^>]*+>\s*+|<!--(?:(?!-->).)*+-->\s*+)*+<(?:!doctype\s++html|html|head|body)[\s>]",
    re.IGNORECASE | re.DOTALL,
)
_META = re.compile(rb"<meta[^>]+charset", re.IGNORECASE)


def fits(content: bytes, suffix: str) -> bool:
    sample = content[:_SAMPLE_BYTES]
    marked = marked_encoding(sample)
    encoding = marked[0] if marked else unmarked_wide_encoding(sample) or "latin-1"
    beginning = sample[marked[1] if marked else 0 :].decode(encoding, errors="replace")
    if _BEGINNING.match(beginning):
        return True
    return suffix in SUFFIXES and "<" in beginning and "\x00" not in beginning


def parse(content: bytes, builder: DocumentBuilder) -> None:
    declared = detect_encoding(content, from_html_meta=True) if _META.search(content[:_SAMPLE_BYTES]) else None
    tree = HTMLTree.parse(decode(content, builder, declared))
    root = tree.document.query_selector("html") if tree.document is not None else None
    builder.title = tree.title
    builder.language = root.getattr("lang") if root is not None else None
    builder.find(write_markdown(tree, builder))
