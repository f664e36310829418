"""Markdown: as it is, without its front matter. Headings and tables are those that CommonMark and GitHub know."""

import re
from collections.abc import Sequence
from itertools import islice, takewhile

from markdown_it import MarkdownIt
from markdown_it.token import Token

from llmos.data.documents.builder import DocumentBuilder, clean
from llmos.data.documents.decoding import decode

SUFFIXES = (".md", ".markdown", ".mdx", ".mkd")
RANK = 5

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_ENTRY = re.compile(r"^(title|lang|language)[ \t]*:[ \t]*(.+?)[ \t]*$", re.MULTILINE)


def fits(content: bytes, suffix: str) -> bool:
    return suffix in SUFFIXES


def parse(content: bytes, builder: DocumentBuilder) -> None:
    source = clean(decode(content, builder))
    builder.find(source)
    if (match := _FRONT_MATTER.match(source)) is not None:
        builder.leave_out("front_matter", match[0])
        _take_entries(match[1], builder)
        source = source[match.end() :]
    source = source.strip("\n").rstrip()
    builder.add_block(source)
    starts = _starts_of_lines(source)
    tokens = MarkdownIt("commonmark").enable("table").parse(source)
    for index, token in enumerate(tokens):
        if token.map is None or token.level:  # In quotes and lists, headings aren't those of sections.
            continue
        start, end = starts[token.map[0]], min(starts[token.map[1]] - 1, len(source))
        if token.type == "heading_open" and (title := _plain(tokens[index + 1])):
            builder.mark_heading(start, end, int(token.tag[1]), title)
        elif token.type == "table_open":
            lines = source[start:end].rstrip().split("\n")
            builder.mark_table(start, start + len("\n".join(lines)), len(lines) - 2, _num_columns(tokens, index))


def _take_entries(front_matter: str, builder: DocumentBuilder) -> None:
    entries = {name: value.strip("\"'") for name, value in _ENTRY.findall(front_matter)}
    builder.title = entries.get("title")
    builder.language = entries.get("lang") or entries.get("language")


def _starts_of_lines(source: str) -> list[int]:
    """Return where each line begins, and where one behind the last would."""
    starts = [0]
    for line in source.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    return starts


def _plain(inline: Token) -> str:
    """Return the text of a heading without its markup."""
    parts = [each.content or (" " if each.type.endswith("break") else "") for each in inline.children or ()]
    return " ".join("".join(parts).split())


def _num_columns(tokens: Sequence[Token], index: int) -> int:
    """Return the number of columns of the table that begins with a token."""
    row = takewhile(lambda each: each.type != "tr_close", islice(tokens, index, None))
    return sum(each.type == "th_open" for each in row)
