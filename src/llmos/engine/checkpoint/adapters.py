"""LoRA adapters (Hu et al. 2021): for some matrices of a model, W + up · down instead of W, with a low rank between.

Reads what peft saves: adapter_config.json, and adapter_model.safetensors with lora_A [rank, in] and lora_B [out, rank]
of each linear layer that was trained. What would change answers and isn't carried out is refused by name.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from llmos.core.errors import BadModelFile, UnsupportedModel
from llmos.engine.architectures import Source, family_of_model_type
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.formats.json_file import read_json_object
from llmos.engine.formats.safetensors import open_safetensors
from llmos.engine.formats.tensor_names import format_names
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

CONFIG_NAME = "adapter_config.json"
WEIGHTS_NAME = "adapter_model.safetensors"
MAX_RANK = 512

TARGET_MODULES = ("q", "k", "v", "o", "gate", "up", "down")
"""The matrices of a layer that an adapter may change."""

_KEY = re.compile(r"(?:base_model\.model\.)?(?P<module>.+)\.lora_(?P<part>[AB])\.weight")

_CARRIED_OUT = frozenset({"lora_alpha", "peft_type", "r", "use_rslora"})

_WITHOUT_EFFECT = frozenset(
    {
        "auto_mapping", "base_model_name_or_path", "eva_config", "exclude_modules", "fan_in_fan_out", "inference_mode",
        "layers_pattern", "layers_to_transform", "loftq_config", "lora_dropout", "megatron_core", "peft_version",
        "qalora_group_size", "rank_pattern", "revision", "target_modules", "task_type",
    }
)  # fmt: skip
"""Options of training, and what the weights themselves say."""

_NEUTRAL: dict[str, tuple[object, ...]] = {
    "bias": ("none",),
    # The others change the model's own weights, too.
    "init_lora_weights": (True, "gaussian", "eva", "orthogonal"),
}
"""Values beside None, False and nothing that ask for nothing beyond up · down."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class LowRankUpdate:
    """What is added to a matrix: y += up · (down · x)."""

    down: Floats  # [rank, in]
    up: Floats  # [out, rank], the adapter's scale multiplied in


Adapter = Mapping[str, LowRankUpdate]
"""By the canonical name of the matrix without ".weight": "layers.3.q"."""


def open_adapter(files: Mapping[str, Path], spec: DecoderSpec) -> Adapter:
    """Return what the adapter adds to the matrices of a model of this spec.

    Raises BadModelFile for files that are damaged or don't fit the model, and UnsupportedModel for an adapter of
    another kind.
    """
    config = _read_config(files)
    if WEIGHTS_NAME not in files:
        raise BadModelFile(
            f"{WEIGHTS_NAME} is missing. peft writes it beside {CONFIG_NAME}; a pickled adapter_model.bin is not read."
        )
    modules = _modules(open_safetensors(files[WEIGHTS_NAME], WEIGHTS_NAME))
    adapter: dict[str, LowRankUpdate] = {}
    used: set[str] = set()
    for canonical, source in _sources(spec, modules).items():
        module = source.name.removesuffix(".weight")
        if module not in modules:
            continue
        used.add(module)
        down, up = modules[module]
        name = canonical.removesuffix(".weight")
        adapter[name] = _low_rank(name, down, up, source, spec.tensor_shapes()[canonical], config)
    if unused := set(modules) - used:
        raise UnsupportedModel(
            f"The adapter changes {format_names(unused)}; in a {spec.family} model it may change the linear layers "
            f"{', '.join(TARGET_MODULES)} of each layer."
        )
    if not adapter:
        raise BadModelFile(f"{WEIGHTS_NAME} changes nothing: it has no pair of lora_A and lora_B.")
    return adapter


def _read_config(files: Mapping[str, Path]) -> dict[str, Any]:
    config = read_json_object(files[CONFIG_NAME], CONFIG_NAME)
    if config.get("peft_type") != "LORA":
        raise UnsupportedModel(f"This adapter is of the type {config.get('peft_type')!r}; LORA is what runs here.")
    for name in sorted(config.keys() - _CARRIED_OUT - _WITHOUT_EFFECT):
        value = config[name]
        if value and value not in _NEUTRAL.get(name, ()):
            raise UnsupportedModel(f"{CONFIG_NAME} has {name} set to {value!r:.60}, which is not carried out here.")
    alpha = config.get("lora_alpha")
    if not isinstance(alpha, int | float) or isinstance(alpha, bool) or not math.isfinite(alpha):
        raise BadModelFile(f"{CONFIG_NAME} has no number lora_alpha.")
    return config


def _modules(tensors: Mapping[str, RawTensor]) -> dict[str, tuple[RawTensor, RawTensor]]:
    """Return lora_A and lora_B of each module, by the name that the module has in the model."""
    parts: dict[str, dict[str, RawTensor]] = {}
    for key in tensors:
        match = _KEY.fullmatch(key)
        if match is None:
            raise UnsupportedModel(f"{WEIGHTS_NAME} has {key!r}; an adapter has lora_A.weight and lora_B.weight only.")
        parts.setdefault(match["module"], {})[match["part"]] = tensors[key]
    if halves := [name for name, pair in parts.items() if len(pair) != 2]:
        raise BadModelFile(f"{WEIGHTS_NAME} has only one of lora_A and lora_B of {format_names(halves)}.")
    return {name: (pair["A"], pair["B"]) for name, pair in parts.items()}


def _sources(spec: DecoderSpec, modules: Mapping[str, object]) -> dict[str, Source]:
    """Return where the matrices that an adapter may change are in a checkpoint, by canonical name."""
    family = family_of_model_type(spec.family)
    prefix: str = getattr(family, "HF_PREFIX", "model.")
    is_bare = not any(name.startswith(prefix) for name in modules)  # trained on the class without a head
    return {
        canonical: replace(source, name=source.name.removeprefix(prefix)) if is_bare else source
        for canonical, source in family.hf_sources(spec).items()
        if canonical.endswith(".weight") and canonical.split(".")[-2] in TARGET_MODULES
    }


def _rows_in_file(source: Source, num_rows: int) -> int:
    """Return how many rows the file's tensor has at least."""
    if source.of_heads is not None:
        return 3 * num_rows
    return num_rows if source.rows is None else source.rows.stop


def _low_rank(
    name: str, down: RawTensor, up: RawTensor, source: Source, shape: tuple[int, ...], config: Mapping[str, Any]
) -> LowRankUpdate:
    if len(down.shape) != 2:
        raise BadModelFile(f"lora_A of {name} is no matrix.")
    rank = down.shape[0]
    if not 1 <= rank <= MAX_RANK:
        raise UnsupportedModel(f"The adapter of {name} has the rank {rank:,}; at most {MAX_RANK} can be.")
    scale = config["lora_alpha"] / (math.sqrt(rank) if config.get("use_rslora") else rank)
    wide = up if len(up.shape) == 2 else None
    fits = wide is not None and wide.shape[1] == rank and wide.shape[0] >= _rows_in_file(source, shape[0])
    # Whatever is done to the rows of the model's matrix is done to those of `up`; Conv1D turns only its own weight.
    part = dequantize(replace(source, transpose=False).load(wide)) if wide is not None and fits else None
    if part is None or (part.shape[0], down.shape[1]) != shape:
        raise BadModelFile(
            f"The adapter of {name} is {list(up.shape)} times {list(down.shape)}; the model's matrix is {list(shape)}. "
            "It was made for another model."
        )
    added = LowRankUpdate(np.ascontiguousarray(dequantize(down)), np.ascontiguousarray(part * np.float32(scale)))
    if not (np.isfinite(added.down).all() and np.isfinite(added.up).all()):
        raise BadModelFile(f"The adapter of {name} has values that are no numbers.")
    return added
