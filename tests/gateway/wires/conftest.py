"""The wire formats over a fake backend: no pool and no files stand between a request and the scripted model."""

import pytest

from llmos.deployments.backend import Backends
from support.fake_backend import FakeBackend, FakeModel


@pytest.fixture
def model() -> FakeModel:
    return FakeModel()


@pytest.fixture
def backends(model: FakeModel) -> Backends | None:
    return Backends({"local": lambda target: FakeBackend(target, model)})
