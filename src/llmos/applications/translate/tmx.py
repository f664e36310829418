"""TMX 1.4: the exchange format of translation memories. https://www.gala-global.org/tmx-14b

Files are read as hostile: a declaration of an entity is refused, and nothing outside of the file is ever loaded.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from llmos.applications.translate.languages import is_same_language
from llmos.applications.translate.pairs import Pair
from llmos.core.errors import BadRequest

_MAX_BYTES = 256 << 20
_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
_XML_LANG = "xml:lang"


def read_tmx(path: Path, source: str, target: str) -> list[Pair]:
    """Return the pairs of two languages in a file, with codes of native markup as text. Raises BadRequest."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise BadRequest(f"{path} has more than {_MAX_BYTES >> 20} MiB. Cut it into several files.")
        content = path.read_bytes()
    except OSError as error:
        raise BadRequest(f"{path} can't be read: {error.strerror}.") from None
    units = _Reader(path.name).read(content)
    return [pair for unit in units for pair in _pairs_of(unit, source, target)]


def write_tmx(pairs: Iterable[Pair], source: str) -> str:
    """Return pairs as TMX. `source`: the language of the sources whose pairs don't say it."""
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<tmx version="1.4">',
        '<header creationtool="llmos" creationtoolversion="1" segtype="sentence" o-tmf="llmos" adminlang="en"'
        f' srclang={quoteattr(source or "*all*")} datatype="plaintext"/>',
        "<body>",
        *(line for pair in pairs for line in _lines_of(pair, source)),
        "</body>",
        "</tmx>",
    ]
    return "\n".join(lines) + "\n"


def _lines_of(pair: Pair, source: str) -> Iterator[str]:
    given = {"creationid": pair.approved_by, "creationdate": re.sub(r"[-:]|\.\d+", "", pair.approved_at)[:16]}
    yield "<tu" + "".join(f" {name}={quoteattr(_clean(value))}" for name, value in given.items() if value) + ">"
    for language, text in ((pair.source_language or source, pair.source), (pair.target_language, pair.target)):
        yield f"<tuv xml:lang={quoteattr(language or 'und')}><seg>{escape(_clean(text))}</seg></tuv>"
    yield "</tu>"


def _clean(text: str) -> str:
    """Return a text without what XML can't have."""
    return _NO_XML.sub("", text)


class _Unit:
    """A `tu`: one text in several languages."""

    def __init__(self, attributes: dict[str, str]) -> None:
        self.author, self.date = attributes.get("creationid", ""), _iso(attributes.get("creationdate", ""))
        self.texts: list[tuple[str, str]] = []
        """Language and text."""


def _iso(date: str) -> str:
    """Return 20261130T184500Z as 2026-11-30T18:45:00Z."""
    found = re.fullmatch(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z", date)
    return "{}-{}-{}T{}:{}:{}Z".format(*found.groups()) if found else ""


def _pairs_of(unit: _Unit, source: str, target: str) -> Iterator[Pair]:
    def texts_in(language: str) -> Sequence[str]:
        return [text for code, text in unit.texts if is_same_language(code, language) and text.strip()]

    for one in texts_in(source)[:1]:
        for other in texts_in(target):
            yield Pair(
                source=one,
                target=other,
                source_language=source,
                target_language=target,
                approved_by=unit.author,
                approved_at=unit.date,
            )


class _Reader:
    """Reads the units of a file."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._units: list[_Unit] = []
        self._language = ""
        self._text: list[str] | None = None
        """The pieces of the `seg` that is open."""

    def read(self, content: bytes) -> Sequence[_Unit]:
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.EntityDeclHandler = self._refuse_entity
        parser.ExternalEntityRefHandler = lambda *_: 1  # Nothing is loaded, and the file goes on.
        parser.StartElementHandler, parser.EndElementHandler = self._begin, self._end
        parser.CharacterDataHandler = self._add
        try:
            parser.Parse(content, True)
        except expat.ExpatError as error:
            raise BadRequest(f"{self._name}, line {error.lineno}: {expat.ErrorString(error.code)}.") from None
        return self._units

    def _refuse_entity(self, *_: object) -> None:
        raise BadRequest(f"{self._name} declares an entity, which no TMX file needs. Remove the declaration.")

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        if name == "tu":
            self._units.append(_Unit(attributes))
        elif name == "tuv":
            self._language = attributes.get(_XML_LANG) or attributes.get("lang", "")
        elif name == "seg":
            self._text = []

    def _end(self, name: str) -> None:
        if name == "seg" and self._text is not None and self._units:
            self._units[-1].texts.append((self._language, "".join(self._text)))
            self._text = None

    def _add(self, text: str) -> None:
        if self._text is not None:
            self._text.append(text)
