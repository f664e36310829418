"""Fixtures: workers with a fake model, and a registry whose versions have no files."""

import asyncio
import json
from datetime import UTC, datetime

import pytest

from llmos.core.config import load_settings
from llmos.core.database import Database
from llmos.models import open_registry
from llmos.models.queries import ensure_model
from llmos.models.tables import VersionFileRow, VersionRow
from llmos.models.versions.file_facts import Runnability
from llmos.models.versions.versions import Loadable
from support import FAKE_WORKER_COMMAND

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.fixture
def fake_model(tmp_path):
    """Return a function that writes the files of a fake model; fake_worker.py lists its options."""

    def make(name="model", **behaviour):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(behaviour))
        return {"model": path}

    return make


@pytest.fixture
def fake_worker():
    return FAKE_WORKER_COMMAND


@pytest.fixture
def registry(tmp_path, database_url, monkeypatch):
    registry = open_registry(load_settings({"LLMOS_HOME": str(tmp_path), "LLMOS_DATABASE_URL": database_url}))
    monkeypatch.setattr(registry, "runnability", lambda version: Runnability(None))  # They have no files to read.
    yield registry
    registry.database.close()


@pytest.fixture
def add(registry):
    """Return a function that records a version whose files don't exist."""

    def add(model: str, number: int = 1, adapts: int | None = None, family: str = "llama") -> None:
        with registry.database.transaction() as session:
            ensure_model(session, model, NOON)
            session.add(
                VersionRow(
                    model=model,
                    number=number,
                    digest=f"sha256:{number:064}",
                    created_at=NOON,
                    source="import:/nowhere",
                    format="gguf",
                    family=family,
                    quantization="Q4_1",
                    parameters=1,
                    sampling={},
                    adapts=adapts,
                    files=[VersionFileRow(name="model.gguf", digest=f"sha256:{number:064}", size=1)],
                )
            )

    return add


@pytest.fixture
def playable(registry, fake_model, monkeypatch):
    """Return a function that sets the options of a version's fake model. Every version of the registry has one."""
    behaviours = {}

    def loadable(version):
        return Loadable(version=version, files=fake_model(version.ref, **behaviours.get(version.ref, {})))

    monkeypatch.setattr(registry, "loadable", loadable)
    return lambda ref, **behaviour: behaviours.update({ref: behaviour})


@pytest.fixture
def run_with(tmp_path):
    """Return a function that runs `test(cluster)` with the head of a new cluster, whose agents are in this process.

    Its database is SQLite: cluster/test_nodes.py asks both kinds.
    """
    from support.cluster import running_cluster

    def run(test, **options):
        database = Database(f"sqlite:///{tmp_path / 'llmos.db'}")
        database.upgrade()

        async def body():
            async with asyncio.timeout(60), running_cluster(tmp_path, database, **options) as cluster:
                await test(cluster)

        try:
            asyncio.run(body())
        finally:
            database.close()

    return run
