"""The job `knowledge_eval`: measure a Version of knowledge with the questions of a dataset, and set its threshold."""

import shlex
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from llmos.core.config import Settings
from llmos.core.names import parse_reference
from llmos.data.datasets import open_datasets
from llmos.data.knowledge import open_knowledge
from llmos.data.knowledge.evaluation.cases import read_cases
from llmos.data.knowledge.evaluations import evaluate_version
from llmos.gateway.http.requests import RequestObject
from llmos.gateway.jobs.kinds import Context, JobKind
from llmos.gateway.knowledge_embedder import embedder_opener
from llmos.models.registry import Registry
from llmos.security.permissions import Permission


class KnowledgeEvalJob(RequestObject, kw_only=True):
    """Measure how well a Version answers the questions of a dataset, and recognises those that it doesn't."""

    kind: Literal["knowledge_eval"] = "knowledge_eval"
    knowledge: str
    """NAME, NAME:ALIAS, NAME@NUMBER or NAME@sha256:DIGEST."""
    cases: str
    """A dataset of the kind case: {"input": a question, "expected": {"document", "quote"}, or null if the documents
    don't answer it}."""


def _check(settings: Settings, registry: Registry, request: KnowledgeEvalJob) -> KnowledgeEvalJob:
    parse_reference(request.knowledge, "knowledge")
    parse_reference(request.cases, "dataset")
    return request


def _work(context: Context, request: KnowledgeEvalJob) -> Mapping[str, Any]:
    assert context.embed is not None, "it is heavy"
    registry = context.registry
    knowledge = open_knowledge(registry.database, registry.store).of(context.project)
    datasets = open_datasets(context.settings, registry.database).of(context.project)
    version, dataset = knowledge.resolve(request.knowledge), datasets.resolve(request.cases)
    report = evaluate_version(
        knowledge,
        version,
        read_cases(datasets.rows(dataset)),
        embedder_opener(registry, context.embed),
        cases_ref=dataset.ref,
        actor=context.actor,
        progress=context.progress,
    )
    described: dict[str, Any] = msgspec.to_builtins(report)
    return described


def _command(request: KnowledgeEvalJob) -> str:
    return shlex.join(["llmos", "knowledge", "eval", request.knowledge, "--cases", request.cases])


KNOWLEDGE_EVAL = JobKind(
    name="knowledge_eval",
    request=KnowledgeEvalJob,
    check=_check,
    work=_work,
    command=_command,
    permission=Permission.KNOWLEDGE_WRITE,
    resumes=True,
)
