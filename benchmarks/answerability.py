"""Measure how well a search recognises what isn't in the documents. python benchmarks/answerability.py CORPUS

CORPUS is the folder `data` of chatterbot-corpus (pip download chatterbot-corpus, and unpack it): questions with answers
by topic, in English and Chinese. The documents are the answers of a half, alone or with their questions; the other half
is what they don't answer: whole topics, or single questions of the same topics. Four divisions each; minilm embeds.
"""

import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

import numpy as np

from corpus import Pair, read_pairs
from llmos.cli.pipeline_backend import PipelineEmbedding
from llmos.core.config import load_settings
from llmos.data.knowledge.embedder import Embedder, Vectors, unit
from llmos.data.knowledge.evaluation.cases import Expected, KnowledgeCase
from llmos.data.knowledge.evaluation.judging import DEPTH, Hits, Judged, JudgedHit, judge
from llmos.data.knowledge.evaluation.report import evaluate
from llmos.data.knowledge.evaluation.threshold import fit_threshold, halves, probability
from llmos.data.knowledge.index import IndexedChunk, build_index, open_index
from llmos.gateway.knowledge_embedder import embedder_opener
from llmos.models import open_registry

DIVISIONS = 4


def main(corpus: Path) -> None:
    settings = load_settings()
    registry = open_registry(settings)
    with PipelineEmbedding(settings) as embedding:
        embedder = embedder_opener(registry, embedding.embed)("minilm")
        for language in ("english", "chinese"):
            pairs = read_pairs(corpus / language)
            for has_questions in (False, True):
                for by_topic in (True, False):
                    measure(language, pairs, embedder, has_questions=has_questions, by_topic=by_topic)


def measure(language: str, pairs: Sequence[Pair], embedder: Embedder, *, has_questions: bool, by_topic: bool) -> None:
    texts = [f"{topic}\n\n{question if has_questions else ''}\n{answer}" for topic, question, answer in pairs]
    of_texts, of_questions = embed(embedder, texts), embed(embedder, [question for _, question, _ in pairs], "query")
    unknown = [embedder.unknown_share(question) for _, question, _ in pairs]
    areas, f1s, trivial, recalls, of_both, modes = [], [], [], [], [], []
    for seed in range(DIVISIONS):
        kept = divide(pairs, seed, by_topic=by_topic)
        judged = judge_all(pairs, texts, kept, of_texts, of_questions, unknown)
        report = evaluate(judged, knowledge="faq", cases="questions")
        figures = {figure.name: figure for figure in report.figures}
        f1s.append(figures["not_in_here_f1"].value)
        trivial.append(figures["not_in_here_f1"].baselines["never_answer"])
        recalls.append(figures["recall@5"].value)
        of_both.append(figures["recall@5"].baselines.get("hybrid", recalls[-1]))
        modes.append(report.mode)
        areas.append(
            (
                area([each.evidence.cosine for each in judged], judged),
                area([each.evidence.words for each in judged], judged),
                cross_validated_area(judged),
            )
        )
    what = f"{language}, {'questions with answers' if has_questions else 'answers alone'}"
    cosine, words, both = (mean(each) for each in zip(*areas, strict=True))
    print(
        f"{what}, without {'topics' if by_topic else 'single ones'}: area of cosine {cosine:.3f}, words {words:.3f},"
        f" both {both:.3f}; F1 {mean(f1s):.2f} (never answering {mean(trivial):.2f}); recall@5 {mean(recalls):.2f},"
        f" of both parts {mean(of_both):.2f}; modes: {', '.join(modes)}",
        flush=True,
    )


def embed(embedder: Embedder, texts: Sequence[str], role: str = "document") -> Vectors:
    futures = [embedder.embed(texts[first : first + 64], role) for first in range(0, len(texts), 64)]  # type: ignore[arg-type]
    return unit(np.concatenate([future.result() for future in futures]))


def divide(pairs: Sequence[Pair], seed: int, *, by_topic: bool) -> list[int]:
    """Return the indexes of the half that is kept."""
    chance = random.Random(seed)
    if not by_topic:
        return sorted(chance.sample(range(len(pairs)), len(pairs) // 2))
    topics = sorted({topic for topic, _, _ in pairs})
    chance.shuffle(topics)
    kept: list[int] = []
    for topic in topics:
        if len(kept) < len(pairs) / 2:
            kept += [index for index, pair in enumerate(pairs) if pair[0] == topic]
    return sorted(kept)


def judge_all(
    pairs: Sequence[Pair],
    texts: Sequence[str],
    kept: Sequence[int],
    of_texts: Vectors,
    of_questions: Vectors,
    unknown_shares: Sequence[float],
) -> list[Judged]:
    chunks = [IndexedChunk(document=str(index), chunk=0, text=texts[index]) for index in kept]
    known = set(kept)
    with tempfile.TemporaryDirectory() as folder:
        paths = build_index(Path(folder), chunks, of_texts[kept])
        with open_index({path.name: path for path in paths}) as index:
            judged = []
            for number, (_, question, _) in enumerate(pairs):
                expected = Expected(document=str(number)) if number in known else None
                hits = [
                    [JudgedHit(each.document, texts[int(each.document)], each.cosine) for each in found]
                    for mode in ("hybrid", "text", "vector")
                    for found in [
                        index.search(
                            question,
                            of_questions[number],
                            limit=DEPTH,
                            mode=mode,
                            unknown_share=unknown_shares[number],
                        )
                    ]
                ]
                judged.append(judge(KnowledgeCase(question=question, expected=expected), Hits(*hits)))
            return judged


def area(scores: Sequence[float], judged: Sequence[Judged]) -> float:
    """Return the area under the ROC curve: how often an answerable question has the larger score."""
    values, answerable = np.array(scores), np.array([each.is_answerable for each in judged])
    larger = values[answerable][:, None] - values[~answerable][None, :]
    return float((larger > 0).mean() + (larger == 0).mean() / 2)


def cross_validated_area(judged: Sequence[Judged]) -> float:
    """Return the mean area of both halves, each by a measure that was fitted on the other one."""
    first, second = halves(judged)
    areas = []
    for fitted, tested in ((first, second), (second, first)):
        threshold = fit_threshold(fitted)
        areas.append(area([probability(threshold, each.evidence) for each in tested], tested))
    return mean(areas)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
