"""A tiny model in both formats, and a registry in an empty home."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from llmos.core.config import load_settings
from llmos.engine.architectures import llama
from llmos.models import open_registry
from support.file_server import pin, server
from support.tiny_gguf import TINY_CONFIG, write_gguf, write_tokenizer

__all__ = ["pin", "server"]  # fixtures

README = "---\nlanguage: en\nlicense: apache-2.0\n---\n# Tiny\n"


@pytest.fixture
def settings(tmp_path, database_url):
    return load_settings({"LLMOS_HOME": str(tmp_path / "home"), "LLMOS_DATABASE_URL": database_url})


@pytest.fixture
def registry(settings):
    registry = open_registry(settings)
    yield registry
    registry.database.close()


@pytest.fixture(scope="session")
def tiny_gguf(tmp_path_factory) -> bytes:
    """A GGUF file that the engine could run."""
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf").read_bytes()


@pytest.fixture
def gguf_path(tmp_path, tiny_gguf) -> Path:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(tiny_gguf)
    return path


@pytest.fixture
def make_folder(tmp_path) -> Callable[..., Path]:
    """Return a function that writes a Hugging Face folder, in as many shards as asked."""

    def make(name: str = "folder", *, num_shards: int = 1, config: dict[str, object] | None = None) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(config or TINY_CONFIG))
        write_tokenizer(folder / "tokenizer.json")
        (folder / "README.md").write_text(README)
        spec = llama.spec_from_config(TINY_CONFIG)
        sources = llama.hf_sources(spec)
        tensors = {sources[key].name: np.full(shape, 0.25, np.float32) for key, shape in spec.tensor_shapes().items()}
        if num_shards == 1:
            save_file(tensors, folder / "model.safetensors")
            return folder
        weight_map = {}
        for shard in range(num_shards):
            shard_name = f"model-{shard + 1:05}-of-{num_shards:05}.safetensors"
            part = {key: value for i, (key, value) in enumerate(tensors.items()) if i % num_shards == shard}
            save_file(part, folder / shard_name)
            weight_map |= dict.fromkeys(part, shard_name)
        (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
        return folder

    return make


@pytest.fixture
def write_catalog(tmp_path) -> Callable[..., Path]:
    """Return a function that writes a catalog with the entry `tiny`, from the given sources in order."""

    def write(content: bytes, *locations: str, name: str = "tiny.gguf", extra: str = "") -> Path:
        sources = "\n".join(f'[[tiny.sources]]\nfrom = "{location}"\n{extra}' for location in locations)
        digest = hashlib.sha256(content).hexdigest()
        path = tmp_path / "catalog.toml"
        path.write_text(
            '[tiny]\ndescription = "a tiny model"\nlicense = "MIT"\ntemplate = "none"\n'
            f'[[tiny.files]]\nname = "{name}"\nsha256 = "{digest}"\nsize = {len(content)}\n{sources}\n'
        )
        return path

    return write
