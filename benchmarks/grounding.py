"""Are answers out of documents right? python benchmarks/grounding.py CORPUS [--cases N] [--seed N]

CORPUS is the folder `data` of chatterbot-corpus (pip download chatterbot-corpus, and unpack it). A server with smollm2
and minilm runs at LLMOS_ENDPOINT; the script adds knowledge to it.

Citations: a question, its own passage and the four nearest others (minilm). How often is the answer of that passage
found to be supported, and the passage cited; and how often is a sentence found to be supported that no passage has: the
answer to another question of the topic, or the right answer while its passage isn't there?
Quotes: how often is a sentence that an app quotes one of the answer's, in three forms of the same documents?
"""

import argparse
import random
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from corpus import Pair, as_written, read_pairs
from llmos.apps import grounding
from llmos.apps.knowledge import PASSAGES_RULE, passages_text
from llmos.apps.server import Scores
from llmos.client import Client, Model
from llmos.client.quoting import quote, sentences_of
from llmos.core.schemas.knowledge import Citation, SearchHit

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0)
NUM_PASSAGES = 5
FORMS = {"headings": "## {}\n\n{}\n\n", "lines": "{}\n{}\n\n", "answers alone": "{1}\n\n"}
Logprobs = list[tuple[int, float]]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--cases", type=int, default=120)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    pairs = read_pairs(given.corpus / "english", first_answer=True, written=as_written)
    with Client() as client:
        measure_citations(client, pairs, given.cases, given.seed)
        for form in FORMS:
            measure_quotes(client, pairs, form)


def measure_citations(client: Client, pairs: Sequence[Pair], num_cases: int, seed: int) -> None:
    model, nearest = client.models.get("smollm2"), nearest_passages(client, pairs)
    chance = random.Random(seed)
    long = [index for index, pair in enumerate(pairs) if len(pair[2].split()) >= 4]
    cases = []
    for own in chance.sample(long, num_cases):
        foreign = chance.choice([each for each in long if pairs[each][0] == pairs[own][0] and each not in nearest[own]])
        texts = [pairs[own][2], pairs[foreign][2]]
        hits = [_hit(pairs[each]) for each in nearest[own]]
        number = nearest[own].index(own)
        scored = list(score_each(model, hits, pairs[own][1], texts))
        absent = list(score_each(model, [*hits[:number], *hits[number + 1 :]], pairs[own][1], texts[:1]))
        cases.append((number, texts, hits, scored, absent))
    for grounding.MIN_DROP in THRESHOLDS:
        report([judge(*case) for case in cases])


def nearest_passages(client: Client, pairs: Sequence[Pair]) -> list[list[int]]:
    """Return for each question its own passage and the nearest others, in the order of a search by meaning."""
    embedder = client.models.get("minilm")
    passages = embed(embedder, [f"{question}\n{answer}" for _, question, answer in pairs])
    likeness = embed(embedder, [question for _, question, _ in pairs]) @ passages.T
    nearest = []
    for own, row in enumerate(likeness):
        others = [int(each) for each in np.argsort(-row) if each != own][: NUM_PASSAGES - 1]
        nearest.append(sorted([own, *others], key=lambda each: -row[each]))
    return nearest


def embed(model: Model, texts: Sequence[str]) -> Any:
    parts = [model.embed(texts[first : first + 64], truncate=True).vectors for first in range(0, len(texts), 64)]
    return np.concatenate([np.array(part) for part in parts])


def score_each(
    model: Model, hits: Sequence[SearchHit], question: str, texts: Sequence[str]
) -> Iterator[list[Logprobs]]:
    """Yield the scores of the texts behind the whole prompt, without any passage, and without each."""
    every = set(range(len(hits)))
    for left_out in (set[int](), every, *({each} for each in every)):
        asked = {"role": "user", "content": passages_text(hits, left_out) + question}
        scored = model.likelihood([{"role": "system", "content": PASSAGES_RULE}, asked], texts)
        yield [[(len(token.bytes), token.logprob or 0.0) for token in each.tokens] for each in scored.options]


def judge(
    number: int, texts: Sequence[str], hits: Sequence[SearchHit], scored: Sequence[Any], absent: Sequence[Any]
) -> list[bool | None]:
    """Return whether the own, the foreign and the absent sentence are supported, and the first citation is right."""
    citations = [hit.citation for hit in hits]
    own, foreign = (
        grounding.ground(text, Scores(tokens=[each[index] for each in scored]), citations)[0]
        for index, text in enumerate(texts)
    )
    without = [each for index, each in enumerate(citations) if index != number]
    lost = grounding.ground(texts[0], Scores(tokens=[each[0] for each in absent]), without)[0]
    is_right = own.citations[0] == citations[number] if own.citations else None
    return [own.is_supported, foreign.is_supported, lost.is_supported, is_right]


def report(judged: Sequence[Sequence[bool | None]]) -> None:
    own, foreign, lost = (np.mean([each[index] for each in judged]) for index in range(3))
    right = np.mean([each[3] for each in judged if each[3] is not None])
    print(
        f"At {grounding.MIN_DROP} nats, of {len(judged)} each: supported {own:.0%}, of another question {foreign:.0%},"
        f" with its passage absent {lost:.0%}; the first citation is right: {right:.0%}",
        flush=True,
    )


def measure_quotes(client: Client, pairs: Sequence[Pair], form: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for topic in {each[0] for each in pairs}:
            parts = [FORMS[form].format(question, answer) for each, question, answer in pairs if each == topic]
            (Path(folder) / f"{topic}.md").write_text("".join(parts))
        name = f"grounding-{form.replace(' ', '-')}"
        client.knowledge.sync(name, Path(folder))
    first, quoted, shares = [], [], []
    for _, question, answer in pairs:
        hits = client.knowledge.search(name, question, limit=NUM_PASSAGES).hits
        own = {each.quote for each in sentences_of(Citation(quote=answer))}
        sentences = [each.quote for hit in hits[:1] for each in sentences_of(hit.citation) if each.quote[0] != "#"]
        first.append(sentences[:1] != [] and sentences[0] in own)
        chosen = [each.quote in own for each in quote(hits, question)]
        quoted.append(any(chosen))
        shares.append(np.mean(chosen or [False]))
    print(
        f"{form}, {len(pairs)} questions: the first sentence of the best passage is right {np.mean(first):.0%}; a"
        f" quoted one is right {np.mean(quoted):.0%}, of the quoted ones are right {np.mean(shares):.0%}",
        flush=True,
    )


def _hit(pair: Pair) -> SearchHit:
    text = f"{pair[1]}\n{pair[2]}"
    return SearchHit(text=text, citation=Citation(document=f"{pair[0]}.md", quote=text))


if __name__ == "__main__":
    main()
