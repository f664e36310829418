"""Prints what a search of knowledge has found: document, page, headings, and the quote with the query's words."""

import re
from collections.abc import Iterator
from textwrap import indent

from rich.text import Text

from llmos.cli.output import cut, stderr, stdout
from llmos.core.schemas.knowledge import Citation, SearchDescription, SearchHit

_SHOWN_CHARACTERS = 600
_WORD = re.compile(r"\w+")


def print_hits(found: SearchDescription, query: str) -> None:
    """Print the passages, best first. On a terminal, the words of the query stand out."""
    for note in found.notes:
        stderr().print(note)
    if not found.hits:
        stderr().print(f"{found.version} has no passage that fits.")
        return
    words = _words_of(query)
    for number, hit in enumerate(found.hits, 1):
        _print_hit(number, hit, words)
    if found.answerable is False:
        stderr().print("These passages probably don't answer the question.")


def _print_hit(number: int, hit: SearchHit, words: set[str]) -> None:
    console = stdout()
    console.print(Text.assemble((f"{number}. ", "dim"), (_place(hit.citation), "bold"), (_figures(hit), "dim")))
    shown = cut(hit.citation.quote.strip(), _SHOWN_CHARACTERS)
    console.print(_highlighted(indent(shown, "   "), words))
    console.print()


def _place(citation: Citation) -> str:
    """Return where a passage stands: faq@1 shop.md, page 3, Returns > Refunds."""
    page = "" if citation.page is None else f", page {citation.page}"
    heading = f", {' > '.join(citation.heading)}" if citation.heading else ""
    return f"{citation.document}{page}{heading} [{citation.start}–{citation.end}]"


def _figures(hit: SearchHit) -> str:
    return "" if hit.cosine is None else f"  similarity {hit.cosine:.2f}"


def _words_of(query: str) -> set[str]:
    """Return the words that the text part of the index looks for, as it compares them."""
    from llmos.data.knowledge.index.words import query_terms

    return set(query_terms(query))


def _highlighted(text: str, words: set[str]) -> Text:
    """Return the text with the words that the query has, too, in another style."""
    styled = Text(text)
    for match in _WORD.finditer(text):
        for start, end in _spans(match[0], words):
            styled.stylize("bold yellow", match.start() + start, match.start() + end)
    return styled


def _spans(word: str, words: set[str]) -> Iterator[tuple[int, int]]:
    """Yield where a word is one of the words; in a script without spaces, where two neighbouring characters are, or
    else single ones."""
    from llmos.data.knowledge.index.words import query_terms

    terms = query_terms(word)
    if len(terms) == 1:
        if terms[0] in words:
            yield 0, len(word)
        return
    for width in (2, 1):
        starts = range(len(word) - width + 1)
        found = [start for start in starts if words.issuperset(query_terms(word[start : start + width])[-1:])]
        yield from ((start, start + width) for start in found)
        if found:
            return
