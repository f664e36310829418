"""Ollama's format over the fake pool: it loads, unloads and lists running models."""

from collections.abc import AsyncIterator, Iterator

import ollama
import pytest

from llmos.deployments.backend import Backends
from llmos.gateway.services import Services
from support.scripted import KEY, FakeRegistry

HEADERS = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture
def backends() -> Backends | None:
    return None


@pytest.fixture
def client(served: str) -> Iterator[ollama.Client]:
    with ollama.Client(host=served, headers=HEADERS, timeout=30) as client:
        yield client


@pytest.fixture
async def aclient(served: str) -> AsyncIterator[ollama.AsyncClient]:
    async with ollama.AsyncClient(host=served, headers=HEADERS, timeout=30) as client:
        yield client


@pytest.fixture
def registry(services: Services) -> FakeRegistry:
    return services.registry  # type: ignore[return-value]
