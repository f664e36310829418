"""Does the application `support` find, cite and abstain?

    PYTHONPATH=benchmarks python benchmarks/applications/support.py CORPUS

CORPUS is the folder `data` of chatterbot-corpus (benchmarks/corpus.py). A server with minilm runs at LLMOS_ENDPOINT;
the script adds knowledge to it. Documents are English and Chinese, in a folder each, in one knowledge. A third of the
topics is left out: their questions are what the documents don't answer. Half of the questions set the threshold
(`llmos knowledge eval`), and the others are asked. The application has no tools here, so that no model is asked.

Beside it stands retrieve-only: the best passage of a search by both parts, always.
"""

import argparse
import asyncio
import json
import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from corpus import Pair, as_written, read_pairs
from llmos.applications.support import LanguageKnowledge
from llmos.apps import App, Knowledge, Run
from llmos.client import Client
from llmos.core.proportions import wilson
from llmos.core.schemas.knowledge import SearchHit

LANGUAGES = {"en": "english", "zh": "chinese"}
FORMS = {"questions as headings": "## {}\n\n{}\n\n", "answers alone": "{1}\n\n"}
TOP_K = 5


@dataclass(frozen=True)
class Asked:
    language: str
    pair: Pair
    is_kept: bool
    """The documents have its answer."""

    @property
    def document(self) -> str:
        return f"{self.language}/{self.pair[0]}.md"


@dataclass(frozen=True)
class Outcome:
    asked: Asked
    hits: Sequence[SearchHit]
    run: Run

    def is_right(self, quote: str, document: str) -> bool:
        """Return whether a passage is that of the question's own answer."""
        return document == self.asked.document and _key(self.asked.pair[2]) in _key(quote)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--questions", type=int, default=100, help="of each language and kind, to ask")
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    for form in FORMS:
        questions = divide(given.corpus, given.seed)
        with Client() as client:
            name = f"support-benchmark-{form.replace(' ', '-')}"
            publish(client, name, form, questions)
        chance = random.Random(given.seed + 1)
        asked = [
            each
            for language in LANGUAGES
            for is_kept in (True, False)
            for each in sample(chance, of_kind(questions[1], language, is_kept), given.questions)
        ]
        outcomes = asyncio.run(ask(name, asked))
        for language in LANGUAGES:
            report(form, language, [each for each in outcomes if each.asked.language == language])


def divide(corpus: Path, seed: int) -> tuple[list[Asked], list[Asked]]:
    """Return the questions that set the threshold, and those that are asked."""
    chance, halves = random.Random(seed), ([], [])
    for language, folder in LANGUAGES.items():
        pairs = read_pairs(corpus / folder, first_answer=True, written=as_written)
        topics = sorted({pair[0] for pair in pairs})
        left_out = set(chance.sample(topics, len(topics) // 3))
        for pair in chance.sample(pairs, len(pairs)):
            halves[chance.random() < 0.5].append(Asked(language, pair, pair[0] not in left_out))
    return halves


def publish(client: Client, name: str, form: str, questions: tuple[list[Asked], list[Asked]]) -> None:
    """Put the documents on the server, and let an evaluation set their threshold."""
    with tempfile.TemporaryDirectory() as folder:
        for each in [*questions[0], *questions[1]]:
            if each.is_kept:
                path = Path(folder) / "documents" / each.document
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("a", encoding="utf-8") as file:
                    file.write(FORMS[form].format(each.pair[1], each.pair[2]))
        client.knowledge.sync(name, Path(folder) / "documents")
        cases = Path(folder) / "cases.jsonl"
        lines = [
            {"input": each.pair[1], "expected": {"document": each.document} if each.is_kept else None}
            for each in questions[0]
        ]
        cases.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
        client.datasets.import_path(cases, f"{name}-cases", shape="case")
    evaluation = client.knowledge.evaluate(name, f"{name}-cases")
    print(form, evaluation.raw.get("threshold"), evaluation.raw.get("mode"))


def of_kind(questions: Sequence[Asked], language: str, is_kept: bool) -> Sequence[Asked]:
    return [each for each in questions if (each.language, each.is_kept) == (language, is_kept)]


def sample(chance: random.Random, questions: Sequence[Asked], count: int) -> Sequence[Asked]:
    return chance.sample(questions, min(count, len(questions)))


async def ask(name: str, questions: Sequence[Asked]) -> list[Outcome]:
    source = LanguageKnowledge(Knowledge(name, top_k=TOP_K))
    async with App("support-benchmark", knowledge=source, journal=False) as app:
        outcomes = []
        for each in questions:
            found = await app.real_server().search(name, each.pair[1], limit=TOP_K)
            outcomes.append(Outcome(each, found.hits, await app.arun(each.pair[1])))
        return outcomes


def report(form: str, language: str, outcomes: Sequence[Outcome]) -> None:
    kept = [each for each in outcomes if each.asked.is_kept]
    silent = [each for each in outcomes if each.run.abstained]
    answered = [each for each in outcomes if not each.run.abstained]
    found = sum(any(each.is_right(hit.citation.quote, hit.citation.document) for hit in each.hits) for each in kept)
    baseline = sum(
        bool(each.hits) and each.is_right(each.hits[0].citation.quote, each.hits[0].citation.document) for each in kept
    )
    cited = [
        any(_is_own(each, citation.quote, citation.document) for citation in each.run.citations) for each in answered
    ]
    right = sum(cited) + sum(not each.asked.is_kept for each in silent)
    rows = {
        f"recall@{TOP_K} of the search": (found, len(kept)),
        "abstains rightly, of those where it abstains": (sum(not each.asked.is_kept for each in silent), len(silent)),
        "abstains, of those that the documents don't answer": (
            sum(not each.asked.is_kept for each in silent),
            len(outcomes) - len(kept),
        ),
        "cites the own answer, of those that it answers": (sum(cited), len(answered)),
        "right in all: cites the own answer, or abstains where there is none": (right, len(outcomes)),
        "retrieve-only: right in all": (baseline, len(outcomes)),
    }
    print(f"{form}, {language}, {len(outcomes)} questions")
    for name, (count, size) in rows.items():
        print(f"  {name}: {share(count, size)}", flush=True)


def share(count: int, size: int) -> str:
    if not size:
        return "–"
    low, high = wilson(count, size)
    return f"{count}/{size} = {count / size:.0%} ({low:.0%}–{high:.0%})"


def _is_own(outcome: Outcome, quote: str, document: str) -> bool:
    """Return whether a quoted sentence is one of the question's own answer."""
    return document == outcome.asked.document and _key(quote) in _key(outcome.asked.pair[2])


def _key(text: str) -> str:
    return "".join(text.casefold().split())


if __name__ == "__main__":
    main()
