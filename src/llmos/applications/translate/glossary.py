"""Glossary: terms that have one translation, out of CSV and YAML files.

    source,target,from,to,case
    refund policy,Rückgaberegeln|Rückgaberegel,en,de,
    LLMOS,,,,exact

`target`: its forms, the first one where nothing else decides; empty: the term stays as it is. `from`, `to`: the
languages; empty: any. `case`: `follow` (the default) finds the term in any case and gives the target a capital where
the source has one; `any` finds it in any case; `exact` finds it as it is written.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, get_args

import yaml

from llmos.applications.translate.languages import is_same_language, language_code
from llmos.applications.translate.piece_patterns import LETTERS
from llmos.applications.translate.pieces import Claims
from llmos.core.errors import BadRequest
from llmos.core.suggest import did_you_mean

Case = Literal["follow", "any", "exact"]

_COLUMNS = ("source", "target", "from", "to", "case")
_MAX_FILE_BYTES = 8 << 20
_NO_TERM = re.compile(r"[\x00-\x1f\x7f\u2028\u2029⟦⟧\ufdd0]")
"""Characters that a target term can't have: line breaks, and the marks of placeholders in a prompt."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Term:
    """A term and what stands for it."""

    source: str
    forms: Sequence[str] = ()
    """Its translations. Without any, it stays as it is."""
    source_language: str = ""
    target_language: str = ""
    case: Case = "follow"

    @property
    def pattern(self) -> re.Pattern[str]:
        """The places of the term in a text: whole words, where the script has spaces between them."""
        before = rf"(?<![{LETTERS}\d_])" if re.match(rf"[{LETTERS}\d]", self.source) else ""
        after = rf"(?![{LETTERS}\d_])" if re.search(rf"[{LETTERS}\d]$", self.source) else ""
        words = r"\s+".join(re.escape(word) for word in self.source.split())
        return re.compile(before + words + after, 0 if self.case == "exact" else re.IGNORECASE)

    def forms_for(self, found: str) -> tuple[str, ...]:
        """Return what may stand for a place where the term was found."""
        forms = self.forms or (found,)
        if self.case == "follow" and found[:1].isupper():
            forms = [form[:1].upper() + form[1:] for form in forms]
        return tuple(dict.fromkeys(forms))


@dataclass(frozen=True, slots=True)
class Glossary:
    """Terms; of two at the same place, the longer one counts."""

    terms: Sequence[Term] = field(default_factory=tuple)

    @classmethod
    def read(cls, *paths: Path | str) -> Self:
        """Return the terms of files, and of all .csv, .yaml and .yml files in folders. Raises BadRequest."""
        return cls(tuple(term for path in paths for file in _files(Path(path)) for term in _terms_of(file)))

    def between(self, source: str, target: str) -> "Glossary":
        """Return the terms of a pair of languages."""
        terms = [
            term
            for term in self.terms
            if is_same_language(term.source_language, source) and is_same_language(term.target_language, target)
        ]
        return Glossary(tuple(sorted(terms, key=lambda term: -len(term.source))))

    def claim(self, claims: Claims) -> None:
        """Make the terms in what is left of a text pieces."""
        lowered = claims.left.lower()
        for term in self.terms:
            if term.source.split()[0].lower() not in lowered:
                continue
            for match in [*term.pattern.finditer(claims.left)]:
                claims.take([match.span()], "term", forms=term.forms_for(match[0]))


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from sorted(each for each in path.iterdir() if each.suffix in (".csv", ".yaml", ".yml"))
    elif path.suffix in (".csv", ".yaml", ".yml"):
        yield path
    else:
        raise BadRequest(f"{path} isn't a glossary. Glossaries are .csv, .yaml and .yml files, and folders of them.")


def _terms_of(path: Path) -> Iterator[Term]:
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise BadRequest(f"The glossary {path} has more than {_MAX_FILE_BYTES >> 20} MiB.")
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise BadRequest(f"The glossary {path} can't be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise BadRequest(f"The glossary {path} isn't UTF-8. Save it as UTF-8.") from None
    for line, row in _rows_of(path, text):
        try:
            yield _term_of(row)
        except BadRequest as error:
            raise BadRequest(f"{path.name}, {line}: {error.message}") from None


def _rows_of(path: Path, text: str) -> Iterable[tuple[str, Any]]:
    if path.suffix == ".csv":
        reader = csv.DictReader(io.StringIO(text), strict=True)
        try:
            return [(f"line {reader.line_num}", row) for row in reader if any(row.values())]
        except csv.Error as error:
            raise BadRequest(f"{path.name}, line {reader.line_num}: {error}.") from None
    try:
        rows = yaml.safe_load(text) or []
    except yaml.YAMLError as error:
        raise BadRequest(f"{path.name} isn't YAML: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(rows, list):
        raise BadRequest(f"{path.name}: a glossary is a list of terms with the fields {', '.join(_COLUMNS)}.")
    return [(f"term {number}", row) for number, row in enumerate(rows, 1)]


def _term_of(row: Any) -> Term:
    if not isinstance(row, dict) or None in row:
        raise BadRequest(f"a term has the fields {', '.join(_COLUMNS)}.")
    if unknown := [name for name in row if name not in _COLUMNS]:
        raise BadRequest(f"there is no field {unknown[0]!r}. {did_you_mean(str(unknown[0]), _COLUMNS)}")
    for name, value in row.items():
        if isinstance(value, list | dict | bool):
            raise BadRequest(f"`{name}` takes a text; put it in quotes.")
    given = {name: " ".join(str(value if value is not None else "").split()) for name, value in row.items()}
    source, case = given.get("source", ""), given.get("case") or "follow"
    if not source:
        raise BadRequest("`source` is empty.")
    if case not in get_args(Case):
        raise BadRequest(f"`case` is {case!r}; it takes {', '.join(get_args(Case))}.")
    forms = tuple(form.strip() for form in given.get("target", "").split("|") if form.strip())
    for form in forms:
        if (wrong := _NO_TERM.search(form)) is not None:
            raise BadRequest(f"the target {form!r} has {wrong[0]!r}. Leave it out.")
    return Term(
        source=source,
        forms=forms,
        source_language=language_code(given["from"], "from") if given.get("from") else "",
        target_language=language_code(given["to"], "to") if given.get("to") else "",
        case=case,  # type: ignore[arg-type]
    )
