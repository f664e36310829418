"""Chunks: pieces of a document that a search finds, cut along its headings by tokens; and sentences.

    recipe = ChunkRecipe(max_tokens=256)                    # plain JSON: msgspec.to_builtins(recipe)
    for chunk in cut_chunks(document, recipe, count_tokens):
        document.text[chunk.start : chunk.end]              # what is quoted
        text_of(document, chunk)                            # what is embedded: the headings above it come first

No chunk reaches beyond its section. A piece of a long table has the table's header with it. The same document, recipe
and tokenizer give the same chunks.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, NamedTuple

import msgspec

from llmos.core.errors import BadRequest
from llmos.data.documents.document import Document, Section, Table

if TYPE_CHECKING:
    from semantic_text_splitter import MarkdownSplitter

VERSION = 1
"""Raised when the same options give other chunks. It is a part of recipes."""

_SEPARATOR = "\n\n"
_ABOVE = " > "
_CONTEXT_SHARE = 4
"""The headings above a chunk have at most one part in this many of its tokens."""

CountTokens = Callable[[str], int]


class ChunkRecipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rules by which documents are cut. They are a part of the digest of what is made with them."""

    version: int = VERSION
    max_tokens: Annotated[int, msgspec.Meta(ge=16, le=100_000)] = 256
    """The most tokens of a chunk with the headings above it, and with the header of its table."""
    overlap_tokens: Annotated[int, msgspec.Meta(ge=0)] = 0
    """The tokens that a chunk may repeat of the one before it in its section."""


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a document: text[start:end]."""

    start: int
    end: int
    page: int | None
    path: tuple[str, ...]
    """The headings above it, and that of its section."""
    header: tuple[int, int] | None = None
    """The span of the header of the table that it continues."""


class Span(NamedTuple):
    start: int
    end: int


def read_recipe(fields: object) -> ChunkRecipe:
    """Return a recipe from plain JSON. Raises BadRequest for one that makes no sense."""
    try:
        recipe = msgspec.convert(fields, ChunkRecipe)
    except msgspec.ValidationError as error:
        raise BadRequest(f"The recipe of chunks is wrong: {error}.", param="recipe") from None
    if recipe.version != VERSION:
        raise BadRequest(f"The recipe of chunks has version {recipe.version}; this is {VERSION}.", param="recipe")
    if 2 * recipe.overlap_tokens > recipe.max_tokens:
        raise BadRequest(
            f"Chunks of {recipe.max_tokens} tokens can't overlap by {recipe.overlap_tokens}. Let them overlap by half"
            " at most.",
            param="recipe",
        )
    return recipe


def cut_chunks(document: Document, recipe: ChunkRecipe, count_tokens: CountTokens) -> Iterator[Chunk]:
    """Yield the chunks in order. `count_tokens`: the tokens of a text, as the model that reads chunks counts them."""
    for index, section in enumerate(document.sections):
        body = Span(section.body, section.end)
        if body.start == body.end:
            following = document.sections[index + 1] if index + 1 < len(document.sections) else None
            if following is not None and following.path[: len(section.path)] == section.path:
                continue  # Its title is above the chunks that follow.
            body = Span(section.start, section.end)
        yield from _Cutter(document, section, recipe, count_tokens).cut(body)


def text_of(document: Document, chunk: Chunk, recipe: ChunkRecipe, count_tokens: CountTokens) -> str:
    """Return the text of a chunk for search: headings above it, the header of its table, and itself."""
    parts = [_context(chunk.path, recipe, count_tokens)]
    if chunk.header is not None:
        parts.append(document.text[slice(*chunk.header)] + "\n" + document.text[chunk.start : chunk.end])
    else:
        parts.append(document.text[chunk.start : chunk.end])
    return _SEPARATOR.join(filter(None, parts))


def cut_sentences(text: str, language: str | None = None) -> Iterator[Span]:
    """Yield the sentences of a text, without the spaces around them. `language`: such as "de" or "zh-CN"."""
    try:
        from sentencex import get_sentence_boundaries
    except ImportError:
        raise _missing() from None

    for found in get_sentence_boundaries((language or "en").partition("-")[0].lower(), text):
        start, end = found["start_index"], found["end_index"]
        sentence = text[start:end]
        if sentence.strip():
            yield Span(start + len(sentence) - len(sentence.lstrip()), start + len(sentence.rstrip()))


class _Cutter:
    """Cuts one section."""

    def __init__(self, document: Document, section: Section, recipe: ChunkRecipe, count_tokens: CountTokens) -> None:
        self._document = document
        self._section = section
        self._recipe = recipe
        self._count_tokens = count_tokens
        context = _context(section.path, recipe, count_tokens)
        self._capacity = recipe.max_tokens - (count_tokens(context + _SEPARATOR) if context else 0)

    def cut(self, body: Span) -> Iterator[Chunk]:
        """Yield the section as one chunk if it fits; otherwise the text between tables, and tables by rows."""
        if self._count(body) <= self._capacity:
            yield self._chunk(body)
            return
        position = body.start
        for table in self._document.tables:
            if body.start <= table.start and table.end <= body.end:
                yield from self._cut_text(Span(position, table.start), self._recipe.overlap_tokens)
                yield from self._cut_table(table)
                position = table.end
        yield from self._cut_text(Span(position, body.end), self._recipe.overlap_tokens)

    def _cut_text(self, span: Span, overlap: int = 0) -> Iterator[Chunk]:
        splitter = _splitter(self._count_tokens, self._capacity, min(overlap, self._capacity // 2))
        for offset, piece in splitter.chunk_indices(self._document.text[span.start : span.end]):
            yield self._chunk(Span(span.start + offset, span.start + offset + len(piece)))

    def _cut_table(self, table: Table) -> Iterator[Chunk]:
        whole = Span(table.start, table.end)
        header, *rows = _header_and_rows(self._document.text, table)
        capacity = self._capacity - self._count_tokens(self._document.text[header.start : header.end] + "\n")
        if self._count(whole) <= self._capacity:
            yield self._chunk(whole)
        elif capacity < self._capacity // 2:  # A header that leaves no room for rows isn't repeated.
            yield from self._cut_text(whole)
        else:
            for group in self._grouped(rows, capacity):
                yield self._chunk(group, header) if self._count(group) <= capacity else self._chunk(group)

    def _grouped(self, rows: list[Span], capacity: int) -> Iterator[Span]:
        """Yield as many rows at a time as fit; pieces of a row that doesn't."""
        group: Span | None = None
        for row in rows:
            joined = Span(group.start, row.end) if group is not None else row
            if self._count(joined) <= capacity:
                group = joined
                continue
            if group is not None:
                yield group
            group = row if self._count(row) <= capacity else None
            if group is None:
                yield from (Span(chunk.start, chunk.end) for chunk in self._cut_text(row))
        if group is not None:
            yield group

    def _count(self, span: Span) -> int:
        return self._count_tokens(self._document.text[span.start : span.end])

    def _chunk(self, span: Span, header: Span | None = None) -> Chunk:
        return Chunk(
            start=span.start,
            end=span.end,
            page=self._document.page_at(span.start),
            path=self._section.path,
            header=None if header is None else (header.start, header.end),
        )


def _context(path: tuple[str, ...], recipe: ChunkRecipe, count_tokens: CountTokens) -> str:
    """Return the headings above a chunk: the lowest ones that have room."""
    for first in range(len(path)):
        context = _ABOVE.join(path[first:])
        if _CONTEXT_SHARE * count_tokens(context + _SEPARATOR) <= recipe.max_tokens:
            return context
    return ""


def _header_and_rows(text: str, table: Table) -> list[Span]:
    """Return the spans of a table's header, its second line included, and of each row."""
    spans, start = [], table.start
    for line in text[table.start : table.end].split("\n"):
        spans.append(Span(start, start + len(line)))
        start += len(line) + 1
    return [Span(spans[0].start, spans[1].end), *spans[2:]]


def _splitter(count_tokens: CountTokens, capacity: int, overlap: int) -> "MarkdownSplitter":
    try:
        from semantic_text_splitter import MarkdownSplitter
    except ImportError:
        raise _missing() from None

    return MarkdownSplitter.from_callback(count_tokens, capacity, overlap=overlap)


def _missing() -> BadRequest:
    return BadRequest("Chunks need other packages: pip install 'llmos[data]'")
