"""What every test may use."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def smollm2_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real model's GGUF file, pulled once through our own code (or named by LLMOS_TEST_SMOLLM2)."""
    named = os.environ.get("LLMOS_TEST_SMOLLM2")
    if named:
        return Path(named)
    from llmos.core.config import load_settings
    from llmos.models import open_registry

    home = os.environ.get("LLMOS_TEST_HOME") or str(tmp_path_factory.mktemp("home"))
    registry = open_registry(load_settings({"LLMOS_HOME": home}))
    version = registry.pull("smollm2")
    return next(path for name, path in registry.files(version).items() if name.endswith(".gguf"))
