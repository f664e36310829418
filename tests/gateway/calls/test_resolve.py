"""Names are looked up once, and again as soon as anybody changed anything."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from llmos.core.config import Settings, load_settings
from llmos.core.errors import ModelNotFound
from llmos.deployments.routing.routes import Routes
from llmos.gateway.calls.resolve import Lookup
from llmos.models import open_registry
from llmos.models.queries import ensure_model
from llmos.models.registry import Registry
from llmos.models.tables import VersionFileRow, VersionRow
from support.databases import KINDS

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module", params=KINDS)
def database_kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    return load_settings({"LLMOS_HOME": str(tmp_path / "home"), "LLMOS_DATABASE_URL": database_url})


@pytest.fixture
def registry(settings: Settings) -> Iterator[Registry]:
    registry = open_registry(settings)
    with registry.database.transaction() as session:
        for number, model in enumerate(("first", "second")):
            ensure_model(session, model, NOON)
            session.add(
                VersionRow(
                    model=model, number=1, digest=f"sha256:{number:064}", created_at=NOON, source="import:/nowhere",
                    format="gguf", family="llama", quantization="Q4_1", parameters=1, sampling={},
                    files=[VersionFileRow(name="model.gguf", digest=f"sha256:{number:064}", size=1)],
                )
            )  # fmt: skip
    yield registry
    registry.database.close()


@pytest.fixture
def routes(registry: Registry) -> Routes:
    return Routes(registry)


@pytest.fixture
def lookup(routes: Routes, registry: Registry) -> Lookup:
    return Lookup(routes, registry)


def test_a_name_is_remembered_once_it_was_found(lookup: Lookup) -> None:
    assert lookup.remembered("first") is None
    found = lookup.find("first")
    assert lookup.remembered("first") == found
    assert found.here().version.model == "first"
    assert lookup.remembered("second") is None


def test_a_change_in_this_process_counts_at_once(lookup: Lookup, routes: Routes) -> None:
    routes.set("chat", "first", actor="ada")
    assert lookup.find("chat").here().version.model == "first"
    routes.set("chat", "second", actor="ada")
    assert lookup.remembered("chat") is None
    assert lookup.find("chat").here().version.model == "second"


def test_a_change_by_another_process_counts_at_once(lookup: Lookup, settings: Settings) -> None:
    lookup.find("first")
    environ = {"LLMOS_HOME": str(settings.home), "LLMOS_DATABASE_URL": settings.database_url}
    subprocess.run([sys.executable, "-m", "llmos", "rm", "first"], env=environ, check=True)
    assert lookup.remembered("first") is None
    with pytest.raises(ModelNotFound):
        lookup.find("first")


def test_a_name_that_leads_nowhere_is_asked_for_every_time(lookup: Lookup, routes: Routes) -> None:
    with pytest.raises(ModelNotFound):
        lookup.find("chat")
    routes.set("chat", "first", actor="ada")
    assert lookup.find("chat").here().version.model == "first"
