"""Ollama's format over the fake pool: it loads, unloads and lists running models."""

import pytest

from llmos.deployments.backend import Backends


@pytest.fixture
def backends() -> Backends | None:
    return None
