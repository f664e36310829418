"""The real embedding model of the catalog."""

import fcntl
from pathlib import Path

from llmos.core.config import load_settings
from llmos.models import open_registry
from llmos.models.transfer.transfers import Transfers


def pull_minilm(home: Path, shared_folder: Path) -> None:
    """Pull minilm into a home. All homes of a run share one download."""
    source = shared_folder / "minilm-home"
    with (shared_folder / "minilm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        downloaded = open_registry(load_settings({"LLMOS_HOME": str(source)}))
        files = downloaded.files(Transfers(downloaded).pull_from_catalog("minilm"))
    registry = open_registry(load_settings({"LLMOS_HOME": str(home)}))
    for path in files.values():
        registry.store.add(path.resolve())
    Transfers(registry).pull_from_catalog("minilm")
