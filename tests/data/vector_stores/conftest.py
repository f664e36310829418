"""Vector stores in an empty store, on each kind of database."""

from support.dataset_fixtures import store
from support.knowledge_fixtures import all_knowledge, embedder
from support.vector_store_fixtures import clock, files, filled, stores, sync, upload

__all__ = ["all_knowledge", "clock", "embedder", "files", "filled", "store", "stores", "sync", "upload"]
