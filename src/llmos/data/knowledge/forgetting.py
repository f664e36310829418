"""Forgets a person: takes the documents about them out of every version of a project's knowledge.

A version keeps its digest, which says what was added, and counts the documents that are gone in its report. A crash in
between leaves each version whole: the same call removes what is left.
"""

from collections.abc import Sequence

from llmos.core.store.blobs_in_use import collect
from llmos.core.versioning.project_queries import version_with_number
from llmos.data.knowledge import queries
from llmos.data.knowledge.indexing import build_version_index
from llmos.data.knowledge.knowledge import Knowledge, ProjectKnowledge
from llmos.data.knowledge.pending import open_pending
from llmos.data.knowledge.tables import KNOWLEDGE
from llmos.data.knowledge.versions import IndexFile, KnowledgeVersion, StoredDocument, index_file_row


def forget_documents(knowledge: Knowledge, project: str, subject: str) -> dict[str, int]:
    """Take the documents about a person out of all versions, and return {reference: number of documents}.

    `subject`: the keyed hash of what the documents' metadata calls the person.
    """
    own, found = knowledge.of(project), dict[str, int]()
    for version in own.list():
        documents = own.documents(version)
        kept = [document for document in documents if document.subject != subject]
        if len(kept) < len(documents):
            _cut(own, version, kept)
            found[version.ref] = len(documents) - len(kept)
    with knowledge.database.transaction(frees_space=True) as session:
        queries.remove_pending_of_project(session, project)  # Nobody knows whom these entries are about.
    if found:
        knowledge.close()  # Indexes that are open have the person's texts.
        collect(knowledge.database, knowledge.store)
    return found


def _cut(knowledge: ProjectKnowledge, version: KnowledgeVersion, kept: Sequence[StoredDocument]) -> None:
    """Let a version have these of its documents only."""
    with open_pending(knowledge, version.knowledge) as pending, knowledge.store.publishing():
        index_files = build_version_index(knowledge, pending.scratch, kept)
        _replace(knowledge, version, kept, index_files)


def _replace(
    knowledge: ProjectKnowledge,
    version: KnowledgeVersion,
    kept: Sequence[StoredDocument],
    index_files: Sequence[IndexFile],
) -> None:
    names = {document.name for document in kept}
    with knowledge.database.transaction(frees_space=True) as session:
        row = version_with_number(session, KNOWLEDGE, f"{knowledge.project}/{version.knowledge}", version.number)
        if row is None or row.removed_at is not None:  # It was removed meanwhile.
            return
        rows = queries.documents(session, row.owner, row.number)
        gone = [document for document in rows if document.name not in names]
        for document in gone:
            session.delete(document)
        row.index_files.clear()
        session.flush()
        row.index_files.extend(index_file_row(i, each) for i, each in enumerate(index_files))
        row.num_documents, row.num_chunks = len(kept), sum(each.entry.facts.num_chunks for each in kept)
        row.entry_bytes = sum(each.entry.size for each in kept)
        row.report = {**(row.report or {}), "erased": (row.report or {}).get("erased", 0) + len(gone)}
