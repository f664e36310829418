"""An application under a name of its own, for tests that release it."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from llmos.client import Client
from llmos.core.errors import NotFound
from support.hosted_apps import write_echo
from support.releases import ENVIRONMENTS, STEPS, Write
from support.scripted import KEY


@pytest.fixture
def client(served: str) -> Iterator[Client]:
    with Client(served, api_key=KEY) as client:
        yield client


@pytest.fixture
def name(client: Client) -> Iterator[str]:
    """The name of an application, which is stopped at the end."""
    name = f"echo-{os.urandom(4).hex()}"
    yield name
    with suppress(NotFound):  # It was planned only.
        client.apps.stop(name)


@pytest.fixture
def write(name: str, tmp_path: Path) -> Write:
    def write(version: str, manifest: str = STEPS + ENVIRONMENTS) -> Path:
        return write_echo(tmp_path / name, version, name=name, manifest=manifest)

    return write
