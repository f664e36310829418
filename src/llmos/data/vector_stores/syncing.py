"""Syncing: reads the files of a vector store that are in progress, and makes them searchable in one step."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from llmos.core.errors import BadDocument, LLMOSError, NotFound
from llmos.core.progress import Progress, no_progress
from llmos.data.files import Files
from llmos.data.knowledge.adding import AddOptions, add_documents, remove_documents
from llmos.data.knowledge.embedder import DEFAULT_EMBEDDING, OpenEmbedder
from llmos.data.knowledge.knowledge import ProjectKnowledge
from llmos.data.knowledge.sources import SourceDocument
from llmos.data.knowledge.versions import KnowledgeVersion
from llmos.data.vector_stores import queries
from llmos.data.vector_stores.records import StoreFile, VectorStore, file_of
from llmos.data.vector_stores.vector_stores import VectorStores


def sync_files(
    stores: VectorStores,
    store: VectorStore,
    files: Files,
    knowledge: ProjectKnowledge,
    open_embedder: OpenEmbedder,
    folder: Path,
    *,
    actor: str | None = None,
    progress: Progress = no_progress,
) -> Mapping[str, int]:
    """Read the files in progress, take out the documents of files that left, and return how many were read and failed.

    A file that can't be read fails alone. `folder`: where plain copies of the files lie meanwhile. Raises what keeps
    all files from being read, which then all fail.
    """
    pending = [file for file in _files(stores, store) if file.status == "in_progress"]
    try:
        version, reasons = _read(store, pending, files, knowledge, open_embedder, folder, actor, progress)
    except LLMOSError as error:
        _record(stores, store, pending, {}, {}, error.message)
        raise
    documents = {} if version is None else {each.name: each for each in knowledge.documents(version)}
    sizes = {name: document.entry.size for name, document in documents.items()}
    num_failed = _record(stores, store, pending, sizes, reasons, "The file can't be read.")
    with suppress(NotFound):
        _remove_left(stores, store, knowledge, sorted(documents), actor)
        return {"read": len(pending) - num_failed, "failed": num_failed}
    stores.remove_knowledge(store.project, store.id)  # The vector store was removed meanwhile.
    return {"read": 0, "failed": len(pending)}


def _read(
    store: VectorStore,
    pending: Sequence[StoreFile],
    files: Files,
    knowledge: ProjectKnowledge,
    open_embedder: OpenEmbedder,
    folder: Path,
    actor: str | None,
    progress: Progress,
) -> tuple[KnowledgeVersion | None, Mapping[str, str]]:
    """Return the newest version with the files that can be read, and the reasons of the others by document."""
    if not pending:
        return knowledge.newest(store.id), {}
    with ExitStack() as copies:
        sources = [
            SourceDocument(
                name=file.document,
                path=copies.enter_context(_plain_copy(files, file.file_id, folder)),
                metadata=file.attributes,
            )
            for file in pending
        ]
        options = _options(store, knowledge, open_embedder)
        try:
            version = add_documents(
                knowledge, store.id, sources, open_embedder, options, actor=actor, progress=progress
            )
        except BadDocument as error:  # None of them can be read.
            return knowledge.newest(store.id), _reasons(pending, error.message.split("\n"))
        return version, _reasons(pending, version.report.get("problems", ()))


def _options(store: VectorStore, knowledge: ProjectKnowledge, open_embedder: OpenEmbedder) -> AddOptions:
    """Return how the files are cut: as asked, within what the embedding model takes."""
    if store.max_tokens is None or knowledge.newest(store.id) is not None:
        return AddOptions(on_error="skip")
    max_tokens = min(store.max_tokens, open_embedder(DEFAULT_EMBEDDING).max_tokens)
    return AddOptions(
        max_tokens=max_tokens, overlap_tokens=min(store.overlap_tokens or 0, max_tokens // 2), on_error="skip"
    )


def _reasons(pending: Sequence[StoreFile], sentences: Sequence[str]) -> Mapping[str, str]:
    """Return the sentence about each document, with the name that its owner knows."""
    return {
        file.document: sentence.replace(file.document, file.filename)
        for file in pending
        for sentence in sentences
        if sentence.startswith(file.document)
    }


@contextmanager
def _plain_copy(files: Files, file_id: str, folder: Path) -> Iterator[Path | None]:
    """Yield a path with the file's bytes; one that doesn't exist where the file was deleted meanwhile."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(suffix=".part", dir=folder)
    path = Path(name)
    try:
        with os.fdopen(handle, "wb") as target:
            try:
                with files.open(file_id) as source:
                    shutil.copyfileobj(source, target)
            except (FileNotFoundError, NotFound):
                path.unlink()
        yield path
    finally:
        path.unlink(missing_ok=True)


def _files(stores: VectorStores, store: VectorStore) -> list[StoreFile]:
    """Raises NotFound for a vector store that was removed meanwhile."""
    with stores.database.session() as session:
        row = queries.store(session, store.project, store.id)
        if row is None:
            raise NotFound(f"The vector store {store.id} was removed.")
        return [file_of(each) for each in queries.existing_files(session, row.number)]


def _record(
    stores: VectorStores,
    store: VectorStore,
    pending: Sequence[StoreFile],
    sizes: Mapping[str, int],
    reasons: Mapping[str, str],
    otherwise: str,
) -> int:
    """Note which files are searchable now, and why others aren't; return how many failed. One that was changed or
    cancelled meanwhile stays as it is."""
    num_failed = 0
    seen = {file.file_id: file for file in pending}
    with stores.database.transaction() as session:
        row = queries.store(session, store.project, store.id, lock=True)
        for file in [] if row is None else queries.files_in_progress(session, row.number):
            before = seen.get(file.file)
            if before is None or dict(before.attributes) != file.attributes:
                continue
            if file.document in sizes and file.document not in reasons:
                file.status, file.is_searchable, file.usage_bytes = "completed", True, sizes[file.document]
            else:
                num_failed += 1
                file.status = "failed"
                file.error_code, file.error_message = _error(file.document, reasons, otherwise)
    return num_failed


def _error(document: str, reasons: Mapping[str, str], otherwise: str) -> tuple[str, str]:
    from llmos.data.documents.parsers import parsers  # imports what they parse with

    if document not in reasons:
        return "server_error", otherwise
    known: set[Any] = {suffix for parser in parsers().values() for suffix in parser.SUFFIXES}
    is_known = PurePosixPath(document).suffix.lower() in known
    return "invalid_file" if is_known else "unsupported_file", reasons[document]


def _remove_left(
    stores: VectorStores, store: VectorStore, knowledge: ProjectKnowledge, documents: Sequence[str], actor: str | None
) -> None:
    """Make a version without the documents of files that left. Raises NotFound where the vector store was removed."""
    wanted = {file.document for file in _files(stores, store) if file.is_searchable or file.status == "in_progress"}
    if left := [name for name in documents if name not in wanted]:
        remove_documents(knowledge, store.id, left, actor=actor)
