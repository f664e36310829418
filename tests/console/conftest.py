"""The console over a scripted gateway, and in Chromium before the real server."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from llmos.client import AsyncClient
from llmos.core.config import load_settings
from llmos.gateway.opening import open_services
from llmos.gateway.services import Services
from llmos.models import open_registry
from support.console import PASSWORD, browser_of, console_app, sign_in
from support.default_model import pull_stored
from support.passwords import quick_passwords
from support.real_server import Running, serving


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """The real rooms, without a model."""
    settings = load_settings({"LLMOS_HOME": str(tmp_path_factory.mktemp("console")), "LLMOS_LOG": "off"})
    services = open_services(settings)
    services.users.passwords = quick_passwords()
    services.users.create("ann", role="owner", password=PASSWORD)
    services.billing.ledger_writer.start()
    yield services
    services.billing.ledger_writer.close()
    services.answer_sink.close()
    services.audit.recorder.close()
    services.log.close()


@pytest.fixture(scope="module")
def app(services: Services) -> FastAPI:
    return console_app(services)


@pytest.fixture
async def visitor(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A browser without scripts, in which nobody has signed in."""
    async with browser_of(app) as client:
        yield client


@pytest.fixture
async def ann(visitor: httpx.AsyncClient) -> httpx.AsyncClient:
    """A browser without scripts in which the owner ann has signed in."""
    await sign_in(visitor, "ann")
    return visitor


@pytest.fixture
async def owner(app: FastAPI, services: Services) -> AsyncIterator[AsyncClient]:
    """A program with the owner's key."""
    key = services.settings.owner_key_path.read_text().strip()
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with AsyncClient("http://127.0.0.1:9", api_key=key, transport=transport) as client:
        yield client


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory, smollm2_path: Path) -> Path:
    home = tmp_path_factory.mktemp("console")
    pull_stored(open_registry(load_settings({"LLMOS_HOME": str(home)})), smollm2_path)
    return home


@pytest.fixture(scope="session")
def console_server(home: Path) -> Iterator[Running]:
    with serving(home) as running:
        yield running
