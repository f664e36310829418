"""Are briefs kept? python benchmarks/applications/write.py [--briefs N] [--model NAME] [--seed N]

A server with the model runs at LLMOS_ENDPOINT. Briefs are made by a generator: a topic, two to four facts with
numbers, names and dates, a source, a length and a number of sections. What a brief asks for is counted in three texts:
a template that is filled with the brief and stock sentences (the trivial text), one call of the model with the whole
brief, and the application. Intervals are Wilson's, of 95 %.
"""

import argparse
import asyncio
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llmos.applications.write import Writer
from llmos.applications.write.briefs import Brief
from llmos.applications.write.drafts import constraints
from llmos.applications.write.facts import as_sentence
from llmos.apps import App, Limits, Reply, Run, ask
from llmos.core.proportions import wilson

PROMPT = Path(__file__).parents[2] / "src/llmos/applications/write/template/prompts/write.md"
PLACES = ("Leipzig", "Porto", "Malmö", "Graz", "Nantes")
PEOPLE = ("Ada Okafor", "Jonas Weber", "Mira Lund", "Paul Rossi", "Ines Costa")
THINGS = ("bakery", "library", "bicycle workshop", "swimming pool", "school garden")
STOCK = "There is more to say about it, and people who know it well like to talk about it with others. "
HEADINGS = ("Introduction", "Details", "Outlook")
KINDS = ("a title", "sections", "length", "figures marked or known", "no unknown figure", "facts")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--briefs", type=int, default=20)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    chance = random.Random(given.seed)
    asyncio.run(measure([make_brief(chance) for _ in range(given.briefs)], given.model))


def make_brief(chance: random.Random) -> Brief:
    thing, place, person = chance.choice(THINGS), chance.choice(PLACES), chance.choice(PEOPLE)
    facts = [
        f"The {thing} opens on {chance.randint(1, 28)} May {chance.randint(2027, 2029)}",
        f"{person} leads the {thing}",
        f"A visit costs {chance.randint(2, 19)} euros",
        f"{chance.randint(51, 98)} % of the neighbours asked for it",
    ]
    return Brief(
        topic=f"The new {thing} in {place}",
        audience=chance.choice(("neighbours", "children", "the city council")),
        tone=chance.choice(("warm", "plain")),
        words=chance.choice((100, 140, 180)),
        sections=chance.choice((1, 2, 3)),
        facts=chance.sample(facts, chance.randint(2, 4)),
        sources=[f"The {thing} has {chance.randint(3, 30)} rooms; its house is from {chance.randint(1890, 1999)}."],
    )


async def measure(briefs: Sequence[Brief], model: str) -> None:
    options = {"temperature": 0}
    limits = Limits(steps=100)
    app = App("write", model=model, prompt=PROMPT, brain=Writer(), options=options, limits=limits)
    alone = App("write-alone", model=model, prompt=PROMPT, brain=in_one_call, options=options, limits=limits)
    texts = {
        "template": [filled(brief) for brief in briefs],
        "one call": [run.text for run in await runs(alone, briefs)],
        "application": [run.text for run in await runs(app, briefs)],
    }
    print(f"| {len(briefs)} briefs | all constraints | {' | '.join(KINDS)} |")
    print(f"| --- |{' ---: |' * (len(KINDS) + 1)}")
    for name, written in texts.items():
        print(f"| {name} | {' | '.join(shares(briefs, written))} |")
    await app.aclose()
    await alone.aclose()


def filled(brief: Brief) -> str:
    """Return the brief in a template, with stock sentences up to its length."""
    sections = [[f"This is about {brief.topic[0].lower()}{brief.topic[1:]}. "] for _ in range(brief.sections)]
    for index, fact in enumerate(brief.facts):
        sections[index % brief.sections].append(as_sentence(fact) + " ")
    while sum(len(each.split()) for section in sections for each in section) < 0.9 * brief.words:
        min(sections, key=lambda section: sum(map(len, section))).append(STOCK)
    parts = [f"## {heading}\n\n{''.join(each).strip()}" for heading, each in zip(HEADINGS, sections, strict=False)]
    return "\n\n".join([f"# {brief.topic}", *parts])


async def in_one_call(input: Mapping[str, Any]) -> Reply:
    """Ask once for the whole text."""
    brief = Brief.model_validate(input)
    given = {name: "\n".join(f"- {each}" for each in getattr(brief, name)) for name in ("facts", "sources")}
    question = (
        f"Write a text about: {brief.topic}\nIts readers are: {brief.audience}\nIts tone is: {brief.tone}\n"
        f"It must use these facts:\n{given['facts']}\nSources:\n{given['sources']}\n"
        f"It has about {brief.words} words, a title behind #, and {brief.sections} sections with a heading behind ##"
        " each. Put [unverified] behind each number that neither the facts nor the sources have."
    )
    return Reply(text=(await ask(question, options={"max_tokens": 600})).text)


async def runs(app: App, briefs: Sequence[Brief]) -> list[Run]:
    began = time.monotonic()
    done = [await app.arun(brief.model_dump()) for brief in briefs]
    calls, tokens = sum(each.usage.num_calls for each in done), sum(each.usage.total_tokens for each in done)
    seconds = (time.monotonic() - began) / len(done)
    print(
        f"{app.name}: {calls / len(done):.1f} calls, {tokens / len(done):,.0f} tokens, {seconds:.1f} s for each brief\n"
    )
    return done


def shares(briefs: Sequence[Brief], texts: Sequence[str]) -> list[str]:
    """Return which share of the constraints is met: of all, and of each kind."""
    met, asked = Counter[str](), Counter[str]()
    for brief, text in zip(briefs, texts, strict=True):
        for (name, is_met), kind in zip(constraints(brief, text).items(), [*KINDS, *[KINDS[-1]] * 40], strict=False):
            kind = KINDS[-1] if name.startswith("fact: ") else kind
            met[kind] += is_met
            asked[kind] += 1
    return [share(met.total(), asked.total()), *(share(met[kind], asked[kind]) for kind in KINDS)]


def share(num_met: int, num_asked: int) -> str:
    low, high = wilson(num_met, num_asked)
    return f"{num_met / num_asked:.0%} ({low:.0%}–{high:.0%})"


if __name__ == "__main__":
    main()
