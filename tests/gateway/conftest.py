"""A gateway whose models are scripted, and a real one.

Each test has a gateway of its own. Tests with the marker `shared_gateway` share that of their file, because starting
one takes ten times as long as a request. Each still has its own pool, models, registry and routes, but finds what
earlier tests left in the database, the counters and `services.readiness`. In such a file, tests with the marker
`own_gateway` have one of their own.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from llmos.core.config import load_settings
from llmos.core.database import Database
from llmos.deployments.backend import Backends
from llmos.gateway.app import create_app
from llmos.gateway.services import Services
from llmos.models import open_registry
from llmos.models.transfer.transfers import Transfers
from support.databases import Databases
from support.default_model import pull_stored
from support.real_server import Running, serving
from support.scripted import FakePool
from support.scripted_gateway import Scripted, SharedGateway, joined, scripted_services, serve_app


@pytest.fixture(autouse=True)
def _one_certificate(one_certificate: None) -> None:
    """Most clients here talk to a server of the test, without TLS."""


@pytest.fixture
def pool() -> FakePool:
    return FakePool()


@pytest.fixture(scope="module")
def database_kind() -> str:
    """One is enough for most of what is asked here; the files about what is kept for callers try them all."""
    return "sqlite"


@pytest.fixture
def backends() -> Backends | None:
    """The backends of the pipeline; None: those over the fake pool."""
    return None


@pytest.fixture
def shared_gateway(request: pytest.FixtureRequest) -> SharedGateway | None:
    """The gateway that this test shares, if it has the marker."""
    is_marked = request.node.get_closest_marker
    if is_marked("shared_gateway") is None or is_marked("own_gateway"):
        return None
    gateway: SharedGateway = request.getfixturevalue("gateway_of_file")
    return gateway


@pytest.fixture(scope="module")
def gateway_of_file(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedGateway]:
    folder = tmp_path_factory.mktemp("gateway")
    with databases.create("sqlite", folder / "database") as url:
        database = Database(url)
        with SharedGateway.open(folder, database) as gateway:
            yield gateway
        database.close()


@pytest.fixture
def services(
    request: pytest.FixtureRequest,
    pool: FakePool,
    backends: Backends | None,
    shared_gateway: SharedGateway | None,
    database_kind: str,  # Of the database that own_services asks for: pytest looks for parameters in the signatures.
) -> Services:
    if shared_gateway is None:
        own: Services = request.getfixturevalue("own_services")
        return own
    shared_gateway.play(Scripted.over(pool, backends))
    return shared_gateway.services


@pytest.fixture
def own_services(pool: FakePool, backends: Backends | None, tmp_path: Path, database: Database) -> Iterator[Services]:
    with scripted_services(Scripted.over(pool, backends), tmp_path, database) as services:
        yield services


@pytest.fixture
def app(services: Services, shared_gateway: SharedGateway | None) -> FastAPI:
    return shared_gateway.app if shared_gateway else create_app(services)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def http(request: pytest.FixtureRequest, services: Services, shared_gateway: SharedGateway | None) -> httpx.AsyncClient:
    """A client with the key, joined to the app without a socket; jobs run."""
    client: httpx.AsyncClient = request.getfixturevalue("http_of_file" if shared_gateway else "own_http")
    return client


@pytest.fixture
async def own_http(app: FastAPI, services: Services) -> AsyncIterator[httpx.AsyncClient]:
    async with joined(app, services) as client:
        yield client


@pytest.fixture(scope="module")
async def http_of_file(gateway_of_file: SharedGateway) -> AsyncIterator[httpx.AsyncClient]:
    async with joined(gateway_of_file.app, gateway_of_file.services) as client:
        yield client


@pytest.fixture
def served(request: pytest.FixtureRequest, services: Services, shared_gateway: SharedGateway | None) -> str:
    """The app behind the real HTTP server on a free port; gives its address."""
    address: str = request.getfixturevalue("served_of_file" if shared_gateway else "own_served")
    return address


@pytest.fixture
def own_served(app: FastAPI, services: Services) -> Iterator[str]:
    with serve_app(app, services) as address:
        yield address


@pytest.fixture(scope="module")
def served_of_file(gateway_of_file: SharedGateway) -> Iterator[str]:
    with serve_app(gateway_of_file.app, gateway_of_file.services) as address:
        yield address


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory, smollm2_path: Path) -> Path:
    """A home with the model under two names."""
    home = tmp_path_factory.mktemp("served")
    registry = open_registry(load_settings({"LLMOS_HOME": str(home)}))
    pull_stored(registry, smollm2_path)
    Transfers(registry).import_path(smollm2_path, "twin")
    return home


@pytest.fixture(scope="session")
def running(home: Path) -> Iterator[Running]:
    with serving(home) as running:
        yield running
        assert running.end() == 0
