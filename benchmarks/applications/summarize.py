"""Measure the quality and speed of summaries: python benchmarks/applications/summarize.py ACLSUM [--papers N]

ACLSUM is the folder `aclsum` of the package aclsum (pip download aclsum --no-deps, and unpack it; MIT). A server with
the model runs at LLMOS_ENDPOINT.

Quality: the abstract, introduction and conclusion of a paper; its problem, approach and outcome in one sentence each.
The first sentence (the trivial summary), the quoted and the composed one are compared with what experts wrote: chrF
(sacrebleu), characters of the summary for 100 of the text, and the share of the model's sentences that the document
supports. The first two ask no model, and take all papers of the split.
Speed: --pages of the papers' full texts (500 words each) as one document, composed by an app with a journal; then
exactly the same calls, as many at once, without an app. Both get cache salts of their own, so that neither finds
prompts of the other. A tree has little to do at once at its end, and so have citations: each part has its figures.
"""

import argparse
import asyncio
import json
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sacrebleu

from llmos.applications.summarize import Summarizer
from llmos.applications.summarize.extracting import Length, first_sentences
from llmos.apps import App, Limits
from llmos.apps.server import RealServer, Scores
from llmos.client import AsyncClient
from llmos.client.prompted_models import Prompt

ASPECTS = ("challenge", "approach", "outcome")
PROMPT = Path(__file__).parents[2] / "src/llmos/applications/summarize/template/prompts/summarize.md"
WORDS_PER_PAGE = 500
PARALLEL = 32


@dataclass(frozen=True)
class Paper:
    text: str
    summaries: dict[str, str]


@dataclass
class Result:
    """The summaries of one kind."""

    summaries: list[str] = field(default_factory=list)
    references: list[str] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    num_supported: int = 0
    num_sentences: int = 0
    num_fallbacks: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("aclsum", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--papers", type=int, default=10, help="papers that are composed; 0: measure no quality")
    parser.add_argument("--pages", type=int, default=0, help="pages of the document whose speed is measured")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without-citations", action="store_true", help="measure the speed of writing alone")
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    papers = read_papers(given.aclsum, given.split)
    sample = random.Random(given.seed).sample(papers, min(given.papers, len(papers)))
    if sample:
        asyncio.run(measure_quality(papers, sample, given.model))
    if given.pages:
        text = pages_of(given.aclsum, given.pages, given.seed)
        asyncio.run(measure_speed(text, given.model, given.rounds, cites=not given.without_citations))


def read_papers(folder: Path, split: str) -> list[Paper]:
    papers = []
    for line in (folder / "dataset" / f"{split}.jsonl").read_text().splitlines():
        row = json.loads(line)
        sections = (" ".join(row["sentences"][name]) for name in ("abstract", "introduction", "conclusion"))
        papers.append(Paper("\n\n".join(sections), row["summary"]))
    return papers


def pages_of(folder: Path, pages: int, seed: int) -> str:
    """Return full texts of papers, up to a number of pages."""
    paths = sorted((folder / "dataset" / "paper_jsons").glob("*.json"))
    random.Random(seed).shuffle(paths)
    words: list[str] = []
    for path in paths:
        if len(words) >= pages * WORDS_PER_PAGE:
            break
        words += " \n".join(each["text"] for each in json.loads(path.read_text())["pdf_parse"]["body_text"]).split(" ")
    return " ".join(words[: pages * WORDS_PER_PAGE])


# Quality


async def measure_quality(papers: Sequence[Paper], sample: Sequence[Paper], model: str) -> None:
    app = new_app(model)
    print("| summary, one sentence | papers | challenge | approach | outcome | all | chars of 100 | supported |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for each in (papers, sample):
        report("first sentence", len(each), {aspect: first(each, aspect) for aspect in ASPECTS})
        report("quoted", len(each), {aspect: await summaries(app, each, aspect, "quote") for aspect in ASPECTS})
    composed = {aspect: await summaries(app, sample, aspect, "compose") for aspect in ASPECTS}
    report(f"composed by {model}", len(sample), composed)
    print(f"Of the composed ones, {sum(each.num_fallbacks for each in composed.values())} had no supported sentence.")
    await app.aclose()


def new_app(model: str, **options: Any) -> App:
    limits = Limits(steps=100_000, parallel=PARALLEL)
    given = {"temperature": 0, **options}
    return App("summarize", model=model, prompt=PROMPT, brain=Summarizer(), limits=limits, options=given)


def first(papers: Sequence[Paper], aspect: str) -> Result:
    result = Result()
    for paper in papers:
        ((start, end),) = first_sentences(paper.text, Length(sentences=1))
        add(result, paper, aspect, paper.text[start:end])
    return result


async def summaries(app: App, papers: Sequence[Paper], aspect: str, mode: str) -> Result:
    """The model's sentences count as it wrote them; without support they are left out of the summary."""
    result = Result()
    for paper in papers:
        run = await app.arun(
            paper.text, variables={"mode": mode, "aspect": aspect, "sentences": 1, "unsupported": "mark"}
        )
        is_supported = [each.is_supported for each in run.sentences]
        result.num_supported += sum(is_supported)
        result.num_sentences += len(is_supported)
        if not any(is_supported):
            result.num_fallbacks += 1
            run = await app.arun(paper.text, variables={"mode": "quote", "aspect": aspect, "sentences": 1})
        add(result, paper, aspect, run.text)
    return result


def add(result: Result, paper: Paper, aspect: str, summary: str) -> None:
    result.summaries.append(summary)
    result.references.append(paper.summaries[aspect])
    result.shares.append(100 * len(summary) / len(paper.text))


def report(name: str, num_papers: int, results: dict[str, Result]) -> None:
    scores = [chrf(each.summaries, each.references) for each in results.values()]
    every = [score for each in results.values() for score in sentence_scores(each)]
    half = 1.96 * statistics.stdev(every) / len(every) ** 0.5
    shares = statistics.mean(share for each in results.values() for share in each.shares)
    written = sum(each.num_sentences for each in results.values())
    supported = f"{sum(each.num_supported for each in results.values()) / written:.0%}" if written else "–"
    figures = " | ".join(f"{score:.1f}" for score in scores)
    mean = f"{statistics.mean(every):.1f} ± {half:.1f}"
    print(f"| {name} | {num_papers} | {figures} | {mean} | {shares:.1f} | {supported} |", flush=True)


def chrf(summaries: Sequence[str], references: Sequence[str]) -> float:
    return float(sacrebleu.corpus_chrf([*summaries], [[*references]]).score)


def sentence_scores(result: Result) -> list[float]:
    pairs = zip(result.summaries, result.references, strict=True)
    return [float(sacrebleu.sentence_chrf(summary, [reference]).score) for summary, reference in pairs]


# Speed


@dataclass
class Recorder:
    """A server that keeps the calls of its models."""

    server: RealServer
    cites: bool = True
    answered: list[Prompt] = field(default_factory=list)
    scored: list[tuple[Sequence[Prompt], str]] = field(default_factory=list)
    last_answer: float = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.server, name)

    async def model(self, name: str) -> Any:
        return RecordedModel(self, await self.server.model(name))


@dataclass
class RecordedModel:
    recorder: Recorder
    model: Any

    @property
    def context_length(self) -> int | None:
        length: int | None = self.model.context_length
        return length

    async def count(self, prompt: Prompt) -> Any:
        return await self.model.count(prompt)

    async def answer(self, prompt: Prompt, on_text: Callable[[str], None]) -> Any:
        self.recorder.answered.append(prompt)
        answer = await self.model.answer(prompt, on_text)
        self.recorder.last_answer = time.monotonic()
        return answer

    async def score(self, prompts: Sequence[Prompt], text: str) -> Scores:
        if not self.recorder.cites:
            return Scores(problem="Not measured.")
        self.recorder.scored.append((prompts, text))
        scores: Scores = await self.model.score(prompts, text)
        return scores


async def measure_speed(text: str, model: str, rounds: int, *, cites: bool) -> None:
    print(f"\nA document of {len(text.split()):,} words, tokens of prompts and answers for each second:\n")
    print("| | calls | tokens | app, tokens/s | the same calls as one batch, tokens/s | app / batch |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    measured = [await one_round(text, model, f"{time.time_ns()}-{number}", cites=cites) for number in range(rounds)]
    for part, (calls, tokens, *_) in measured[0].items():
        app, batch = ([each[part][1] / each[part][index] for each in measured] for index in (2, 3))
        ratios = [fast / slow for fast, slow in zip(app, batch, strict=True)]
        speeds = f"{statistics.median(app):,.0f} | {statistics.median(batch):,.0f}"
        spread = f"{statistics.median(ratios):.0%} ({min(ratios):.0%}–{max(ratios):.0%})"
        print(f"| {part} | {calls} | {tokens:,} | {speeds} | {spread} |")


async def one_round(text: str, model: str, salt: str, *, cites: bool) -> dict[str, tuple[int, int, float, float]]:
    """Return for each part: calls, tokens, and the seconds of the app and of the batch."""
    app = new_app(model, cache_salt=f"app-{salt}")
    async with AsyncClient() as client:
        recorder = Recorder(RealServer(client), cites)
        began = time.monotonic()
        with app.replaced(recorder):  # type: ignore[arg-type]
            await app.arun(text, variables={"mode": "compose", "sentences": 5})
        ended = time.monotonic()
        real = await recorder.server.model(model)
        answered, written = await timed(
            [lambda each=each: real.answer(salted(each, salt), lambda piece: None) for each in recorder.answered]
        )
        scored, cited = await timed(
            [
                lambda prompts=prompts, text=text: real.score([salted(each, salt) for each in prompts], text)
                for prompts, text in recorder.scored
            ]
        )
    parts = {
        "writing": (len(answered), tokens_of(answered), recorder.last_answer - began, written),
        "citing": (len(scored), tokens_of(scored), ended - recorder.last_answer, cited),
    }
    if not cites:
        return {"writing": parts["writing"]}
    both = tuple(sum(each[index] for each in parts.values()) for index in range(4))
    return {**parts, "both": both}  # type: ignore[dict-item]


async def timed(calls: Sequence[Callable[[], Any]]) -> tuple[list[Any], float]:
    """Return the results of calls, some of them at once, and the seconds that they took together."""
    places = asyncio.Semaphore(PARALLEL)

    async def one(call: Callable[[], Any]) -> Any:
        async with places:
            return await call()

    began = time.monotonic()
    results = await asyncio.gather(*map(one, calls))
    return [*results], time.monotonic() - began


def salted(prompt: Prompt, salt: str) -> Prompt:
    return Prompt(messages=prompt.messages, tools=prompt.tools, options={**prompt.options, "cache_salt": salt})


def tokens_of(results: Sequence[Any]) -> int:
    return sum(each.usage.total_tokens for each in results)


if __name__ == "__main__":
    main()
