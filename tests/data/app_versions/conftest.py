"""Applications in an empty store, on each kind of database."""

from pathlib import Path

import pytest

from llmos.core.database import Database
from llmos.core.store.store import Store
from llmos.data.app_versions.app_versions import AppVersions, ProjectApps
from support.dataset_fixtures import store

__all__ = ["store"]


@pytest.fixture
def all_apps(database: Database, store: Store, tmp_path: Path) -> AppVersions:
    return AppVersions(database, store, tmp_path / "apps")


@pytest.fixture
def apps(all_apps: AppVersions) -> ProjectApps:
    return all_apps.of()
