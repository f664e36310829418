"""Knowledge in an empty store, on each kind of database."""

from support.knowledge_fixtures import all_knowledge, database, embedder, knowledge, sources, store, sync

__all__ = ["all_knowledge", "database", "embedder", "knowledge", "sources", "store", "sync"]
