"""Knowledge in an empty store, on each kind of database."""

from support.dataset_fixtures import store
from support.knowledge_fixtures import all_knowledge, embedder, knowledge, sources, sync

__all__ = ["all_knowledge", "embedder", "knowledge", "sources", "store", "sync"]
