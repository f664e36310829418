"""The texts in all languages, and how a visitor's language is chosen."""

import re
from pathlib import Path

import pytest

import llmos.console
from llmos.console.languages import LANGUAGES, Texts, choose_language, messages

FOLDER = Path(llmos.console.__file__).parent
_PLACE = re.compile(r"\{(\w+)\}")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_the_same_texts_with_the_same_places(language: str) -> None:
    english, other = messages("en"), messages(language)
    assert list(other) == list(english)
    for key, text in other.items():
        assert sorted(_PLACE.findall(text)) == sorted(_PLACE.findall(english[key])), key
        assert text.strip()


def test_templates_and_pages_use_every_text_and_no_other() -> None:
    source = "".join(
        path.read_text() for path in FOLDER.rglob("*") if path.suffix in (".py", ".html") and "static" not in path.parts
    )
    used = set(re.findall(r"""["']([a-z_-]+\.[a-z_-]+)["']""", source))
    # Parts of keys that a value completes.
    begins = (
        "answers.",
        "datasets.column_",
        "job.",
        "kind.",
        "made.",
        "knowledge.mode_",
        "figure.",
        "operation.",
        "side.",
        "turn.",
        "verdict.",
        "nav.",
        "state.",
        "role.",
        "theme.",
        "task.",
        "outcome.",
        "change.",
        "step.",
        "who.",
        "budget_scope.",
        "invoice_kind.",
        "party.",
        "period.",
        "plan_kind.",
        "unit.",
        "use.",
        "count.",
        "level.",
        "usage.by_",
        "usage.scope_",
        "chat.",
        "compare.",
        "usage.",
        "job.",
        "fit.part_",
        "sticky.",
        "providers.openai",
        "providers.anthropic",
        "providers.open-inference",
    )
    unused = [key for key in messages("en") if key not in used and not key.startswith(begins)]
    assert unused == []
    prefixes = {key.partition(".")[0] for key in messages("en")}
    missing = [key for key in used if key.partition(".")[0] in prefixes and key not in messages("en")]
    assert [key for key in missing if not key.endswith((".html", ".js", ".css", "_", "."))] == []


@pytest.mark.parametrize(
    ("chosen", "accepted", "language"),
    [
        (None, "zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        (None, "de, en;q=0.5, zh;q=0.7", "zh"),
        ("en", "zh-CN", "en"),
        ("xx", "fr", "en"),
        (None, ";;q=,zh;q=x", "zh"),
        (None, "", "en"),
    ],
)
def test_the_language_is_the_chosen_one_or_the_browsers(chosen: str | None, accepted: str, language: str) -> None:
    assert choose_language(chosen, accepted) == language


def test_times_say_their_zone_and_what_is_unknown_is_a_dash() -> None:
    t = Texts("en")
    assert t.time("2026-11-30T23:05:00+01:00") == (
        '<time datetime="2026-11-30T22:05:00+00:00">2026-11-30 22:05 UTC</time>'
    )
    assert (t.number(None), t.number(1234567), t.size(None), t.time(None)) == ("–", "1,234,567", "–", "–")
