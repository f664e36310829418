"""Knowledge: documents that are searched by words and by meaning, in immutable versions.

    knowledge = open_knowledge(database, store).of("acme")   # that of one project; of() is the installation's own
    version = knowledge.resolve("faq@7")                     # NAME, NAME:ALIAS, NAME@NUMBER, NAME@sha256:DIGEST

    sources = find_documents(Path("handbook/"))
    add_documents(knowledge, "faq", sources, open_embedder)  # adds them to the newest version, or replaces them
    sync_documents(knowledge, "faq", sources, open_embedder) # makes them the documents of the next version
    remove_documents(knowledge, "faq", ["old.pdf"])          # a version without them

    for hit in knowledge.search(version, "open on Sundays?", vector, limit=10):
        hit.text, hit.score, hit.place                       # see hits.py
    knowledge.passage(version, "hours.md", 10, 90)           # what a citation points to

    report = evaluate_version(knowledge, version, cases, open_embedder)   # see evaluations.py

A document becomes an entry, a file in the store: its text, its chunks and their vectors. Versions share the entries of
documents that didn't change. The index of a version is made from its entries, and needs no model.

The room knows no models: an Embedder makes the vectors, see embedder.py.

Lower layers don't know higher ones:

    evaluations | support
    evaluation
    descriptions
    adding | forgetting
    indexing | preparing
    pending
    knowledge
    batching | chunk_cache | hits | index_cache | problems | queries | sources
    versions
    entries | tables
    manifest
    index
    embedder
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmos.core.database import Database
    from llmos.core.store.store import Store
    from llmos.data.knowledge.knowledge import Knowledge


def open_knowledge(database: "Database", store: "Store") -> "Knowledge":
    """Open this installation's knowledge."""
    from llmos.data.knowledge.knowledge import Knowledge

    return Knowledge(database, store)
