"""A worker without a model: fake_worker.py, and a way to say what its model does."""

import json
import sys
from pathlib import Path

import pytest

ENGINE_TESTS = Path(__file__).parent.parent / "engine"
sys.path.insert(0, str(ENGINE_TESTS))

FAKE_WORKER = (sys.executable, str(ENGINE_TESTS / "fake_worker.py"))


@pytest.fixture
def fake_model(tmp_path):
    """Return a function that makes the files of a fake model; see fake_worker.py for what it may be told to do."""

    def make(name="model", **behaviour):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(behaviour))
        return {"model": path}

    return make


@pytest.fixture
def fake_worker():
    return FAKE_WORKER
