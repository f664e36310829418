"""Evaluations of versions: searches for the questions of a dataset, and keeps the report with its threshold."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice

import msgspec

from llmos.core.errors import Conflict, NotFound
from llmos.core.progress import Progress, no_progress
from llmos.core.schemas.base import read_description
from llmos.core.schemas.knowledge_eval import KnowledgeEvalDescription
from llmos.data.knowledge import queries
from llmos.data.knowledge.embedder import Embedder, OpenEmbedder, Vectors, unit
from llmos.data.knowledge.evaluation.answerability import DEPTH as EVIDENCE_DEPTH
from llmos.data.knowledge.evaluation.cases import KnowledgeCase
from llmos.data.knowledge.evaluation.judging import DEPTH, Hits, Judged, JudgedHit, judge
from llmos.data.knowledge.evaluation.report import evaluate
from llmos.data.knowledge.evaluation.threshold import probability
from llmos.data.knowledge.index import Mode
from llmos.data.knowledge.knowledge import ProjectKnowledge
from llmos.data.knowledge.tables import EvaluationRow
from llmos.data.knowledge.versions import KnowledgeVersion

_QUESTIONS_AT_ONCE = 64


def evaluate_version(
    knowledge: ProjectKnowledge,
    version: KnowledgeVersion,
    cases: Sequence[KnowledgeCase],
    open_embedder: OpenEmbedder,
    *,
    cases_ref: str,
    actor: str | None = None,
    progress: Progress = no_progress,
) -> KnowledgeEvalDescription:
    """Search for the questions in every mode, keep the report in place of the version's earlier one, and return it.

    What is kept has no questions: those that went wrong are in the returned report only. `cases_ref`: the version of
    the dataset. Raises Conflict for a version without text, ModelNotFound if its embedding model isn't here any more,
    and what embedding raises.
    """
    if not version.num_chunks:
        raise Conflict(f"{version.ref} has no text to search. Add documents first.")
    judged = []
    embedder = open_embedder(f"{version.embedding.partition('@')[0]}@{version.embedding_digest}")
    for case, vector in _with_vectors(cases, embedder):
        judged.append(_judge(knowledge, version, case, vector, embedder.unknown_share(case.question)))
        progress("questions", len(judged), len(cases))
    report = evaluate(judged, knowledge=version.ref, cases=cases_ref)
    keep_report(knowledge, version, report, actor)
    return report


def find_evaluation(knowledge: ProjectKnowledge, version: KnowledgeVersion) -> KnowledgeEvalDescription | None:
    """Return the last report of a version; None if it was never evaluated."""
    with knowledge.database.session() as session:
        row = queries.evaluation(session, knowledge.key(version.knowledge), version.number)
        return None if row is None else read_description(KnowledgeEvalDescription, row.report)


def find_applicable_evaluation(
    knowledge: ProjectKnowledge, version: KnowledgeVersion
) -> KnowledgeEvalDescription | None:
    """Return the report that searches go by: the version's own, or that of the newest one before it that has one.

    What a threshold is made of are similarities, so that only versions with the same embedding model count.
    """
    with knowledge.database.session() as session:
        row = queries.last_evaluation(
            session, knowledge.key(version.knowledge), version.number, version.embedding_digest
        )
        return None if row is None else read_description(KnowledgeEvalDescription, row.report)


def get_report(knowledge: ProjectKnowledge, version: KnowledgeVersion) -> KnowledgeEvalDescription:
    """Return the last report of a version. Raises NotFound if it was never evaluated."""
    report = find_evaluation(knowledge, version)
    if report is None:
        raise NotFound(
            f"{version.ref} was not evaluated. Run: llmos knowledge eval {version.ref} --cases DATASET", param="name"
        )
    return report


def answer_probability(
    knowledge: ProjectKnowledge,
    version: KnowledgeVersion,
    report: KnowledgeEvalDescription,
    question: str,
    vector: Vectors | None,
) -> float | None:
    """Return the probability that the version answers a question; see evaluation/answerability.py.

    `vector`: that of the question. None: it has none; then the probability is None, too, unless the threshold is that
    of the text part alone.
    """
    threshold, mode = report.threshold, report.mode
    if threshold is None or (vector is None and mode != "text"):
        return None
    search = partial(_search, knowledge, version, question, vector, limit=EVIDENCE_DEPTH)
    hits = Hits(
        hybrid=[],
        text=[] if mode == "vector" else search(mode="text"),
        vector=[] if mode == "text" else search(mode="vector"),
    )
    return probability(threshold, hits.evidence(question, mode))


def _with_vectors(cases: Sequence[KnowledgeCase], embedder: Embedder) -> Iterator[tuple[KnowledgeCase, Vectors]]:
    """Yield the cases with the vectors of their questions. The next ones are embedded meanwhile."""
    remaining = iter(cases)
    batches = iter(lambda: list(islice(remaining, _QUESTIONS_AT_ONCE)), [])
    begun = ((batch, embedder.embed([case.question for case in batch], "query")) for batch in batches)
    following = next(begun, None)
    while following is not None:
        batch, future = following
        following = next(begun, None)
        yield from zip(batch, unit(future.result()), strict=True)


def _judge(
    knowledge: ProjectKnowledge, version: KnowledgeVersion, case: KnowledgeCase, vector: Vectors, unknown_share: float
) -> Judged:
    search = partial(_search, knowledge, version, case.question, vector, limit=DEPTH)
    hybrid = search(mode="hybrid", unknown_share=unknown_share)
    return judge(case, Hits(hybrid=hybrid, text=search(mode="text"), vector=search(mode="vector")))


def _search(
    knowledge: ProjectKnowledge,
    version: KnowledgeVersion,
    question: str,
    vector: Vectors | None,
    *,
    mode: Mode,
    limit: int,
    unknown_share: float = 0.0,
) -> list[JudgedHit]:
    found = knowledge.search(version, question, vector, limit=limit, mode=mode, unknown_share=unknown_share)
    return [JudgedHit(hit.place.document, hit.text, hit.cosine) for hit in found]


def keep_report(
    knowledge: ProjectKnowledge, version: KnowledgeVersion, report: KnowledgeEvalDescription, actor: str | None = None
) -> None:
    """Keep a report without its questions, in place of the version's earlier one."""
    with knowledge.database.transaction() as session:
        row = EvaluationRow(
            owner=knowledge.key(version.knowledge),
            number=version.number,
            report=msgspec.to_builtins(msgspec.structs.replace(report, misses=[])),
            made_at=knowledge.clock(),
            made_by=actor,
        )
        session.merge(row)
