"""Prompts in an empty store, on each kind of database."""

import pytest

from llmos.core.database import Database
from llmos.core.store.store import Store
from llmos.data.prompts.prompts import ProjectPrompts, Prompts
from support.dataset_fixtures import store

__all__ = ["store"]


@pytest.fixture
def all_prompts(database: Database, store: Store) -> Prompts:
    return Prompts(database, store)


@pytest.fixture
def prompts(all_prompts: Prompts) -> ProjectPrompts:
    return all_prompts.of()
