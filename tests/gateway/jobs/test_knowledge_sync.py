"""The job `knowledge_sync` in a process of its own, which asks this one for vectors."""

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmos.core.config import Settings, load_settings
from llmos.core.encryption.opening import open_encryption
from llmos.core.errors import BadDocument, LLMOSError, PermissionDenied, UnsupportedModel
from llmos.core.jobs.jobs import Step
from llmos.data.knowledge import open_knowledge
from llmos.data.knowledge.knowledge import ProjectKnowledge
from llmos.data.uploads import Uploads
from llmos.gateway.calls.text_vectors import TextsToEmbed, Vectors
from llmos.gateway.jobs.job_process import run_in_process
from llmos.gateway.jobs.kinds import kind_named
from llmos.gateway.jobs.kinds.knowledge_sync import KnowledgeFile, KnowledgeSyncJob
from llmos.gateway.jobs.worker import Assignment
from llmos.models import open_registry
from llmos.models.registry import Registry
from support.tiny_home import make_tiny_home

pytestmark = [pytest.mark.process, pytest.mark.anyio]

FILES = {
    "tea.md": "# Tea\n\nSteep it.\n",
    "kaffee.md": "# Kaffee\n\nMahle die Bohnen.\n",
    "茶.md": "# 茶\n\n泡两分钟。\n",
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def tiny_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("knowing")
    make_tiny_home(home, tmp_path_factory.mktemp("models"))
    return home


@pytest.fixture
def settings(tiny_home: Path) -> Settings:
    return load_settings({"LLMOS_HOME": str(tiny_home)})


@pytest.fixture
def registry(settings: Settings) -> Registry:
    return open_registry(settings)


@pytest.fixture
def knowledge(registry: Registry, request: pytest.FixtureRequest) -> ProjectKnowledge:
    """Knowledge of a project of each test's own."""
    return open_knowledge(registry.database, registry.store).of(f"p{abs(hash(request.node.name))}")


@pytest.fixture
def upload(settings: Settings, registry: Registry, knowledge: ProjectKnowledge) -> Callable[..., list[dict[str, Any]]]:
    """Return a function that uploads files, {name: text}, and returns what requests say of them."""
    uploads = Uploads(settings.uploads_path, registry.store)

    def upload(files: dict[str, str]) -> list[dict[str, Any]]:
        described = []
        for name, text in files.items():
            digest = f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
            with uploads.receiving(knowledge.project, digest, len(text.encode())) as path:
                path.write_bytes(text.encode())
            described.append({"name": name, "digest": digest})
        return described

    return upload


def assignment(
    settings: Settings, knowledge: ProjectKnowledge, files: list[dict[str, Any]], **fields: Any
) -> Assignment:
    request = {"kind": "knowledge_sync", "name": "faq", "files": files, **fields}
    return Assignment(settings=settings, kind="knowledge_sync", request=request, project=knowledge.project, actor="ada")


async def lengths(request: TextsToEmbed) -> Vectors:
    return np.array([[len(text), 1] for text in request.texts], np.float32)


async def test_uploaded_files_become_a_version(
    settings: Settings, registry: Registry, knowledge: ProjectKnowledge, upload: Callable[..., list[dict[str, Any]]]
) -> None:
    asked: list[TextsToEmbed] = []
    steps: list[Step] = []

    async def embed(request: TextsToEmbed) -> Vectors:
        asked.append(request)
        return await lengths(request)

    files = upload(FILES)
    work = assignment(settings, knowledge, files, metadata={"lang": "de"}, subject="ann", max_tokens=32)
    result = await run_in_process(work, steps.append, embed)
    minilm = registry.resolve("minilm")
    assert (result["version"], result["num_documents"], result["made_by"]) == ("faq@1", 3, "ada")
    assert (result["embedding"], result["embedding_digest"]) == ("minilm@1", minilm.digest)
    assert {each.model for each in asked} == {"minilm@1"}
    assert sum(len(each.texts) for each in asked) == result["num_chunks"]
    document = knowledge.document(knowledge.resolve("faq"), "茶.md")
    assert document.metadata == {"lang": "de"}
    ring = open_encryption(settings, registry.database).ring
    assert document.subject == ring.index("subject", knowledge.project, "ann")
    assert steps[-1] == Step("index", 1, 1)
    assert not list(settings.uploads_path.glob("*.part"))
    # The same again needs neither uploads nor vectors.
    again = await run_in_process(work, lambda step: None)
    assert again["version"] == "faq@1"
    one = await run_in_process(assignment(settings, knowledge, files[:1], replace=True), lambda step: None)
    assert (one["version"], one["num_documents"]) == ("faq@2", 1)


@pytest.mark.parametrize("error", [PermissionDenied("The key may not."), ValueError("a bug")])
async def test_errors_of_embedding_come_back_as_they_were(
    settings: Settings, knowledge: ProjectKnowledge, upload: Callable[..., list[dict[str, Any]]], error: Exception
) -> None:
    async def embed(request: TextsToEmbed) -> Vectors:
        raise error

    is_known = isinstance(error, PermissionDenied)
    expected = PermissionDenied if is_known else LLMOSError
    message = "The key may not" if is_known else "Something went wrong inside the server"
    with pytest.raises(expected, match=message):
        await run_in_process(assignment(settings, knowledge, upload(FILES)), lambda step: None, embed)
    assert not knowledge.list()


async def test_bad_documents_come_back_by_name(
    settings: Settings, knowledge: ProjectKnowledge, upload: Callable[..., list[dict[str, Any]]]
) -> None:
    files = upload({"empty.md": " ", "tea.md": FILES["tea.md"]})
    with pytest.raises(BadDocument, match=r"empty\.md can't be read. It is empty"):
        await run_in_process(assignment(settings, knowledge, files), lambda step: None, lengths)
    skipping = assignment(settings, knowledge, files, on_error="skip")
    result = await run_in_process(skipping, lambda step: None, lengths)
    assert result["report"]["skipped"] == 1


async def test_a_cancelled_job_leaves_nothing_and_its_questions_end(
    settings: Settings, knowledge: ProjectKnowledge, upload: Callable[..., list[dict[str, Any]]]
) -> None:
    has_asked, was_cancelled = asyncio.Event(), asyncio.Event()

    async def embed(request: TextsToEmbed) -> Vectors:
        has_asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            was_cancelled.set()
            raise
        raise AssertionError

    work = assignment(settings, knowledge, upload(FILES))
    task = asyncio.create_task(run_in_process(work, lambda step: None, embed))
    await has_asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert was_cancelled.is_set()
    assert not knowledge.list()
    assert (await run_in_process(work, lambda step: None, lengths))["version"] == "faq@1"


def test_a_model_that_makes_no_vectors_is_refused_by_name(settings: Settings, registry: Registry) -> None:
    kind, file = kind_named("knowledge_sync"), KnowledgeFile(name="a.md", digest=f"sha256:{'0' * 64}")
    with pytest.raises(UnsupportedModel, match=r"smollm2@1 makes no vectors of texts. These do: minilm@1\."):
        kind.check(settings, registry, KnowledgeSyncJob(name="faq", files=[file], embedding="smollm2"))
    request = KnowledgeSyncJob(name="faq", files=[file], replace=True)
    assert kind.check(settings, registry, request) == request
    assert kind.command(request) == "llmos knowledge sync faq FOLDER"
