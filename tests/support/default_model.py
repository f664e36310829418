"""The default model as `llmos pull` gives it: with the catalog's name, licence and sampling."""

from pathlib import Path

from llmos.models.registry import Registry
from llmos.models.transfer.transfers import Transfers
from llmos.models.versions.versions import Version


def pull_stored(registry: Registry, path: Path) -> Version:
    """Pull smollm2 into a registry without a network: its file is put into the store before."""
    registry.store.add(path.resolve())
    return Transfers(registry).pull_from_catalog("smollm2")
