"""Names are resolved once, and again after any change of the database."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from llmos.core.config import Settings, load_settings
from llmos.core.errors import ModelNotFound
from llmos.deployments.backend import Backends
from llmos.deployments.local_backend import LocalBackends
from llmos.deployments.replicas.pool import Pool
from llmos.deployments.routing.routes import Routes
from llmos.gateway.calls.resolve import Resolution, Resolver
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
def resolver(routes: Routes, registry: Registry) -> Resolver:
    backends = Backends({"local": LocalBackends(Pool(), registry).open})
    return Resolver(routes, backends, registry.database)


def model_of(resolution: Resolution) -> str:
    return resolution.backend(resolution.main).served.model


def test_a_name_is_remembered_once_it_was_found(resolver: Resolver) -> None:
    assert resolver.remembered("first") is None
    found = resolver.find("first")
    assert resolver.remembered("first") == found
    assert model_of(found) == "first"
    assert resolver.remembered("second") is None


def test_a_change_in_this_process_counts_at_once(resolver: Resolver, routes: Routes) -> None:
    routes.set("chat", "first", actor="ada")
    assert model_of(resolver.find("chat")) == "first"
    routes.set("chat", "second", actor="ada")
    assert resolver.remembered("chat") is None
    assert model_of(resolver.find("chat")) == "second"


@pytest.mark.process
def test_a_change_by_another_process_counts_at_once(resolver: Resolver, settings: Settings) -> None:
    resolver.find("first")
    environ = {"LLMOS_HOME": str(settings.home), "LLMOS_DATABASE_URL": settings.database_url}
    subprocess.run([sys.executable, "-m", "llmos", "rm", "first"], env=environ, check=True)
    assert resolver.remembered("first") is None
    with pytest.raises(ModelNotFound):
        resolver.find("first")


def test_a_name_that_leads_nowhere_is_asked_for_every_time(resolver: Resolver, routes: Routes) -> None:
    with pytest.raises(ModelNotFound):
        resolver.find("chat")
    routes.set("chat", "first", actor="ada")
    assert model_of(resolver.find("chat")) == "first"
