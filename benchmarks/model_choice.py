"""The model that a benchmark runs on: a GGUF file, or smollm2 where none is named."""

import argparse
from collections.abc import Mapping
from pathlib import Path

from llmos.core.config import load_settings
from llmos.models import open_registry


def add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, nargs="?", help="a GGUF file; smollm2 otherwise")


def files_of(model: Path | None) -> Mapping[str, Path]:
    """Return the files as load_engine takes them. Raises ModelNotFound where smollm2 isn't here."""
    if model:
        return {model.name: model}
    registry = open_registry(load_settings())
    return registry.files(registry.resolve("smollm2"))
