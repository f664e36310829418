"""The formats of documents, one file each. No table lists them: a format is a module of this package, and has

    SUFFIXES    of the names that such files have
    RANK        modules with a lower rank are asked first whether they fit
    fits        (content, suffix) -> bool    by the content, as names lie; kinds of text by the suffix, such as ".md"
    parse       (content, builder) -> None   adds the text to a DocumentBuilder; raises BadDocument

Parsers run in a process apart (see parsing.py), so they may raise anything: it becomes one message. A module whose name
begins with _ is a helper.
"""

import importlib
import pkgutil
from functools import cache
from typing import Protocol, cast

from llmos.data.documents.builder import DocumentBuilder


class Parser(Protocol):
    """A module of this package."""

    SUFFIXES: tuple[str, ...]
    RANK: int

    def fits(self, content: bytes, suffix: str) -> bool:
        """Return whether the content is in this format."""

    def parse(self, content: bytes, builder: DocumentBuilder) -> None:
        """Add the content to a document."""


@cache
def parsers() -> dict[str, Parser]:
    """Return every parser by its name, those that are asked first coming first."""
    names = [each.name for each in pkgutil.iter_modules(__path__) if not each.name.startswith("_")]
    found = {name: cast(Parser, importlib.import_module(f"{__name__}.{name}")) for name in names}
    return dict(sorted(found.items(), key=lambda each: (each[1].RANK, each[0])))


def recognize(content: bytes, suffix: str) -> str:
    """Return the name of the format."""
    return next(name for name, parser in parsers().items() if parser.fits(content, suffix))
