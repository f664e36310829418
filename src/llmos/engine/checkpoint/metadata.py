"""The metadata of a model by GGUF's keys (llama.context_length and so on), also for a Hugging Face folder.

For endpoints that show a model, or ask what its chat template supports.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeGuard

from llmos.engine.formats.gguf_parts import GGUFParts
from llmos.engine.formats.json_file import read_json_object

Fact = str | int | float | bool

_FROM_CONFIG = {
    "max_position_embeddings": "context_length",
    "n_positions": "context_length",
    "hidden_size": "embedding_length",
    "n_embd": "embedding_length",
    "num_hidden_layers": "block_count",
    "n_layer": "block_count",
    "intermediate_size": "feed_forward_length",
    "num_attention_heads": "attention.head_count",
    "n_head": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length",
    "rope_theta": "rope.freq_base",
    "vocab_size": "vocab_size",
}
"""Keys of a config.json -> keys of GGUF without the architecture's name."""

_MAX_TEXT = 1000
"""Longer strings are left out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Metadata:
    facts: Mapping[str, Fact]
    """Strings, numbers and booleans; no lists such as the vocabulary."""
    template: str | None
    """The chat template, in Jinja."""

    @property
    def supports_thinking(self) -> bool:
        """The chat template can turn thinking before the answer on and off."""
        return self.template is not None and "enable_thinking" in self.template


def read_metadata(files: Mapping[str, Path]) -> Metadata:
    """Read the metadata of a model. Raises BadModelFile for damaged files.

    Results are cached, because the files of a store never change.
    """
    return _read(tuple(sorted(files.items())))


@lru_cache(maxsize=64)
def _read(files: tuple[tuple[str, Path], ...]) -> Metadata:
    by_name = dict(files)
    ggufs = [name for name in by_name if name.endswith(".gguf")]
    if "config.json" in by_name and not (ggufs and not any(name.endswith(".safetensors") for name in by_name)):
        return _from_folder(by_name)
    if not ggufs:
        return Metadata(facts={}, template=None)
    return _from_gguf({name: by_name[name] for name in ggufs})


def _from_gguf(files: Mapping[str, Path]) -> Metadata:
    metadata = GGUFParts(files).metadata
    template = metadata.get("tokenizer.chat_template")
    facts = {key: value for key, value in metadata.items() if key != "tokenizer.chat_template" and _is_fact(value)}
    return Metadata(facts=facts, template=template if isinstance(template, str) else None)


def _from_folder(files: Mapping[str, Path]) -> Metadata:
    # The tokenizer library is slow to import.
    from llmos.engine.text.tokenizer.from_files import read_template

    config = read_json_object(files["config.json"], "config.json")
    family = config.get("model_type")
    facts: dict[str, Fact] = {"general.architecture": family} if isinstance(family, str) else {}
    for theirs, key in _FROM_CONFIG.items():
        if _is_fact(value := config.get(theirs)) and f"{family}.{key}" not in facts:
            facts[f"{family}.{key}"] = value
    return Metadata(facts=facts, template=read_template(files))


def _is_fact(value: object) -> TypeGuard[Fact]:
    return isinstance(value, int | float | bool) or (isinstance(value, str) and len(value) <= _MAX_TEXT)
