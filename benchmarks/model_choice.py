"""The model that a benchmark runs on: a GGUF file, a folder, or smollm2 by default."""

import argparse
from collections.abc import Mapping
from pathlib import Path

from llmos.core.config import load_settings
from llmos.models import open_registry


def add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, nargs="?", help="a GGUF file or a folder; smollm2 by default")


def files_of(model: Path | None) -> Mapping[str, Path]:
    """Return the files for load_engine(). Raises ModelNotFound if smollm2 was not pulled."""
    if model and model.is_dir():
        return {file.name: file for file in model.iterdir() if file.is_file()}
    if model:
        return {model.name: model}
    registry = open_registry(load_settings())
    return registry.files(registry.resolve("smollm2"))
