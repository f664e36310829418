"""The figures of docs/guardrail-figures.md: what is blocked of each family, source and language."""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from figures import wilson
from prompt_injection.corpus import Text

_FOLDER = Path(__file__).parent
_BEFORE: dict[str, float] = json.loads((_FOLDER / "before.json").read_text(encoding="utf-8"))
"""What the model of n-grams alone, which this one replaced, blocked of the same texts, in percent, by the rows of the
tables. For families and sources that it was trained on in English: held out."""

LANGUAGE_NAMES = {
    "ar": "Arabic", "de": "German", "el": "Greek", "en": "English", "es": "Spanish", "fr": "French", "hi": "Hindi",
    "it": "Italian", "ja": "Japanese", "ko": "Korean", "nl": "Dutch", "pl": "Polish", "pt": "Portuguese",
    "ru": "Russian", "sv": "Swedish", "tr": "Turkish", "uk": "Ukrainian", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip


HeldOut = Literal["group", "phrasing", "collection"]
"""What the model hasn't seen: the family or source of the text; the template, in any language; any of its collection,
of which no model sees anything."""


class Result(NamedTuple):
    """What a model makes of a text that it hasn't seen."""

    text: Text
    held_out: HeldOut
    is_blocked: bool
    """In the words of a user."""
    is_blocked_of_tool: bool


Key = Callable[[Text], str]


def tables(results: Sequence[Result]) -> dict[str, str]:
    """Return the tables of the page in Markdown by the names of their places."""
    benign = [each for each in results if not each.text.is_attack]
    attacks = [each for each in results if each.text.is_attack]
    return {
        "benign sources": _table("source", _of(benign, "group"), _source),
        "benign collections": _table("collection", _of(benign, "collection"), lambda text: text.group),
        "benign languages": _table("language", [each for each in benign if each.text.language], _language),
        "attacks": _table("family", _of(attacks, "group"), _source),
        "languages": _by_language(attacks),
        "attack collections": _table("collection", _of(attacks, "collection"), lambda text: text.group),
    }


def write(page: Path, by_place: dict[str, str]) -> None:
    """Replace the tables of a page, each between `<!-- figures: NAME -->` and `<!-- end -->`."""
    content = page.read_text(encoding="utf-8")
    for name, table in by_place.items():
        before, found, rest = content.partition(f"<!-- figures: {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        if not found or not end:
            raise SystemExit(f"{page} has no place for the figures {name!r}.")
        content = f"{before}{found}{table}\n{end}{after}"
    page.write_text(content, encoding="utf-8")


def _of(results: Iterable[Result], held_out: HeldOut) -> list[Result]:
    return [each for each in results if each.held_out == held_out]


def _by_language(attacks: Sequence[Result]) -> str:
    """Return a table of direct attacks in what users write, and of indirect ones in what tools return."""
    lines = [
        "| language | direct: before | new phrasing | new family | indirect: before | new phrasing | new family |",
        "|---|---|---|---|---|---|---|",
    ]
    for language in sorted({_language(each.text) for each in _of(attacks, "phrasing")}):
        cells = []
        for kind, is_indirect in (("direct", False), ("indirect", True)):
            before = _BEFORE.get(f"{kind} language: {language}")
            cells.append("–" if before is None else f"{before:.1f} %")
            for held_out in ("phrasing", "group"):
                found = [
                    each.is_blocked_of_tool if is_indirect else each.is_blocked
                    for each in attacks
                    if each.held_out == held_out
                    and _language(each.text) == language
                    and each.text.group.startswith("indirect") == is_indirect
                ]
                cells.append(f"**{100 * sum(found) / len(found):.1f} %** of {len(found):,}")
        lines.append(f"| {language} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _source(text: Text) -> str:
    is_english = text.language == "en" or text.group.endswith("languages") or not text.language
    return text.group if is_english else f"{text.group}, 14 languages"


def _language(text: Text) -> str:
    return LANGUAGE_NAMES.get(text.language, text.language)


def _table(first: str, results: Iterable[Result], key: Key) -> str:
    groups: dict[str, list[Result]] = {}
    for each in results:
        groups.setdefault(key(each.text), []).append(each)
    lines = [f"| {first} | texts | before | **blocked** | 95 % | of a tool |", "|---|---|---|---|---|---|"]
    for name, found in sorted(groups.items()):
        num, hits = len(found), sum(each.is_blocked for each in found)
        low, high = wilson(hits, num)
        of_tool = sum(each.is_blocked_of_tool for each in found)
        before = _BEFORE.get(f"{first}: {name}{'' if found[0].text.is_attack else ' (benign)'}")
        lines.append(
            f"| {name} | {num:,} | {'–' if before is None else f'{before:.1f} %'} | **{100 * hits / num:.1f} %**"
            f" | {100 * low:.1f}–{100 * high:.1f} % | {100 * of_tool / num:.1f} % |"
        )
    return "\n".join(lines)
