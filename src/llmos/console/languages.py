"""Languages: the texts of messages/LANGUAGE/*.json, and how numbers, sizes and times are written."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from markupsafe import Markup

from llmos.core.sizes import readable_size

LANGUAGES: Mapping[str, str] = {"en": "English", "zh": "中文"}
"""Their names, as their speakers write them."""

DEFAULT = "en"

_FOLDER = Path(__file__).parent / "messages"


@cache
def messages(language: str) -> Mapping[str, str]:
    """Return the texts of a language by their keys. A file has those of one page; base.json, those of every page."""
    texts: dict[str, str] = {}
    for path in sorted((_FOLDER / language).iterdir()):
        texts |= json.loads(path.read_text("utf-8"))
    return texts


def choose_language(chosen: str | None, accept_language: str) -> str:
    """Return the language that a visitor has chosen, or else the first that the browser names and the console has."""
    if chosen is not None and chosen in LANGUAGES:
        return chosen
    ranges = [_read_range(each) for each in accept_language.split(",")[:20]]
    for _, name in sorted(ranges, key=lambda each: -each[0]):
        if name in LANGUAGES:
            return name
    return DEFAULT


def _read_range(text: str) -> tuple[float, str]:
    """Read one range of Accept-Language: "zh-CN;q=0.8" -> (0.8, "zh")."""
    name, _, quality = text.partition(";")
    try:
        weight = float(quality.strip().removeprefix("q=") or 1)
    except ValueError:
        weight = 0.0
    return weight, name.strip().lower().partition("-")[0]


class Texts:
    """The texts of one language: t("models.stored"), t("models.pulling", name=name)."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._texts = messages(language)

    def __call__(self, key: str, **values: Any) -> str:
        text = self._texts[key]
        return text.format_map(values) if values else text

    def of(self, kind: str, value: str) -> str:
        """Return the word for a value, such as a state; the value itself if there is none."""
        return self._texts.get(f"{kind}.{value}", value)

    def number(self, value: float | None, digits: int = 0) -> str:
        return "–" if value is None else f"{value:,.{digits}f}"

    def size(self, num_bytes: int | None) -> str:
        return "–" if num_bytes is None else readable_size(num_bytes)

    def percent(self, share: float | None, digits: int = 0) -> str:
        return "–" if share is None else f"{share:.{digits}%}"

    def time(self, moment: datetime | str | None) -> Markup:
        """Return an element that a script writes in the visitor's zone. Without scripts it says UTC."""
        if moment is None or moment == "":
            return Markup("–")
        at = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
        at = at.astimezone(UTC)
        return Markup('<time datetime="{}">{}</time>').format(
            at.isoformat(timespec="seconds"), f"{at:%Y-%m-%d %H:%M} UTC"
        )

    def costs(self, costs: Mapping[str, str]) -> str:
        return ", ".join(f"{amount} {currency}" for currency, amount in costs.items()) or "–"
