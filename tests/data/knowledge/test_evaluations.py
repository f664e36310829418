"""Evaluations of versions: what is searched for, what is kept, and what a later search makes of it."""

import dataclasses
from concurrent.futures import Future

import msgspec
import numpy as np
import pytest

from llmos.core.errors import Conflict
from llmos.data.knowledge.adding import sync_documents
from llmos.data.knowledge.evaluation.cases import Expected, KnowledgeCase
from llmos.data.knowledge.evaluations import (
    answer_probability,
    evaluate_version,
    find_applicable_evaluation,
    find_evaluation,
)
from support.knowledge_fixtures import FakeEmbedder, vector_of

pytestmark = pytest.mark.process

NOUNS = ["tea", "coffee", "bread", "butter", "cheese", "honey", "sugar", "flour", "olives", "rice", "beans", "pepper"]
NOUNS += ["salmon", "carrots", "lemons", "apples", "cherries", "almonds", "walnuts", "mustard", "vinegar", "garlic"]
STRANGE = [
    "violins",
    "tractors",
    "satellites",
    "passports",
    "umbrellas",
    "telescopes",
    "bicycles",
    "carpets",
    "cameras",
]
STRANGE += ["guitars", "lanterns", "mirrors", "pianos", "rockets", "saddles", "tents", "trumpets", "windows", "anchors"]
STRANGE += ["bridges", "castles", "drums"]

DOCUMENTS = {f"{noun}.md": f"# Storage\n\nKeep {noun} on shelf {index}.\n" for index, noun in enumerate(NOUNS)}
CASES = [
    KnowledgeCase(question=f"where to keep {noun}", expected=Expected(document=f"{noun}.md", quote="on shelf"))
    for noun in NOUNS
] + [KnowledgeCase(question=f"how much do {noun} cost") for noun in STRANGE]


def evaluate(knowledge, version, embedder, cases=CASES, **options):
    return evaluate_version(knowledge, version, cases, lambda ref: embedder, cases_ref="questions@1", **options)


def test_the_report_is_kept_beside_the_version_and_replaced_by_the_next(knowledge, sync, embedder):
    version = sync(DOCUMENTS)
    assert find_evaluation(knowledge, version) is None
    seen = []
    report = evaluate(knowledge, version, embedder, progress=lambda *each: seen.append(each))
    assert (report.knowledge, report.cases) == (version.ref, "questions@1")
    assert (report.num_answerable, report.num_unanswerable) == (22, 22)
    assert seen[-1] == ("questions", 44, 44)
    assert next(each for each in report.figures if each.name == "recall@5").value == 1
    assert find_evaluation(knowledge, version) == msgspec.structs.replace(report, misses=[])
    assert report.threshold is not None
    again = evaluate(knowledge, version, embedder, [KnowledgeCase(question="x?", expected=Expected(document="none"))])
    assert again.threshold is None
    assert [each.question for each in again.misses] == ["x?"]
    assert find_evaluation(knowledge, version) == msgspec.structs.replace(again, misses=[])
    assert knowledge.resolve("faq").digest == version.digest


def test_a_version_without_an_evaluation_goes_by_that_of_the_version_before(knowledge, sync, embedder):
    first = sync(DOCUMENTS)
    assert find_applicable_evaluation(knowledge, first) is None
    report = msgspec.structs.replace(evaluate(knowledge, first, embedder), misses=[])
    second = sync({**DOCUMENTS, "cacao.md": "# Storage\n\nKeep cacao on shelf 50.\n"})
    assert find_evaluation(knowledge, second) is None
    assert find_applicable_evaluation(knowledge, second) == report
    own = msgspec.structs.replace(evaluate(knowledge, second, embedder), misses=[])
    assert find_applicable_evaluation(knowledge, second) == own
    assert find_applicable_evaluation(knowledge, first) == report
    other = dataclasses.replace(second, embedding_digest="sha256:" + "0" * 64)
    assert find_applicable_evaluation(knowledge, other) is None


def test_the_threshold_tells_what_is_not_in_the_documents(knowledge, sync, embedder):
    version = sync(DOCUMENTS)
    report = evaluate(knowledge, version, embedder)
    for question, is_answered in ("where do I keep honey", True), ("how much do violins cost", False):
        measure = answer_probability(knowledge, version, report, question, vector_of(question))
        assert (measure >= report.threshold.threshold) is is_answered


class UnknowingEmbedder(FakeEmbedder):
    """Gives every text another vector that says nothing about it."""

    def embed(self, texts, role):
        future = Future()
        future.set_result(np.random.default_rng(len(self.texts)).normal(size=(len(texts), 16)).astype(np.float32))
        self.texts += texts
        return future


def test_words_alone_become_the_default_where_vectors_say_nothing(knowledge, sources):
    embedder = UnknowingEmbedder()
    version = sync_documents(knowledge, "faq", sources(DOCUMENTS), lambda ref: embedder)
    assert knowledge.show("faq").mode == "hybrid"
    report = evaluate(knowledge, version, embedder)
    assert report.mode == "text"
    assert knowledge.show("faq").mode == "text"
    for question, is_answered in ("where do I keep honey", True), ("how much do violins cost", False):
        measure = answer_probability(knowledge, version, report, question, None)
        assert (measure >= report.threshold.threshold) is is_answered


def test_both_parts_together_find_what_words_find_where_the_model_cannot_read_the_questions(knowledge, sources):
    embedder = UnknowingEmbedder()
    embedder.unknown_share = lambda text: 1.0
    version = sync_documents(knowledge, "faq", sources(DOCUMENTS), lambda ref: embedder)
    report = evaluate(knowledge, version, embedder)
    assert report.mode == "hybrid"
    recall = next(each for each in report.figures if each.name == "recall@5")
    assert recall.value == recall.baselines["text_part"] == 1 > recall.baselines["vector_part"]


def test_a_threshold_with_a_cosine_says_nothing_without_a_vector(knowledge, sync, embedder):
    version = sync(DOCUMENTS)
    report = evaluate(knowledge, version, embedder)
    assert report.mode == "hybrid"
    assert answer_probability(knowledge, version, report, "where do I keep honey", None) is None


def test_questions_are_embedded_once_as_queries(knowledge, sync, embedder):
    version = sync(DOCUMENTS)
    before = len(embedder.texts)
    evaluate(knowledge, version, embedder)
    assert embedder.texts[before:] == [case.question for case in CASES]


def test_another_version_has_no_threshold_yet(knowledge, sync, embedder):
    evaluate(knowledge, sync(DOCUMENTS), embedder)
    other = sync(DOCUMENTS | {"new.md": "# New\n\nSomething else.\n"})
    assert find_evaluation(knowledge, other) is None


def test_a_version_without_text_is_not_evaluated(knowledge, sync, embedder):
    with pytest.raises(Conflict, match="has no text to search"):
        evaluate(knowledge, sync({}), embedder)


def test_evaluations_go_with_their_project(all_knowledge, knowledge, sync, embedder):
    version = sync(DOCUMENTS)
    evaluate(knowledge, version, embedder)
    all_knowledge.remove_project("owner")
    assert find_evaluation(knowledge, version) is None
