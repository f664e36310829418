"""LoRA adapters (Hu et al. 2021): some matrices W of a model are replaced by W + up · down, two matrices of low rank.
DoRA (Liu et al. 2024) then gives each row of the result a length of its own.

Reads what peft saves: adapter_config.json, and adapter_model.safetensors with lora_A [rank, in], lora_B [out, rank] and
with DoRA lora_magnitude_vector [out] of each adapted linear layer. An option that would change answers and isn't
supported is rejected by name.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from llmos.core.errors import BadModelFile, UnsupportedModel
from llmos.engine.architectures import Source, family_of_model_type, sources_in_files
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
"""The linear layers that an adapter may change, by their canonical names."""

_KEY = re.compile(
    r"(?:base_model\.model\.)?(?P<module>.+)\.lora_(?:(?P<part>[AB])\.weight|(?P<magnitude>magnitude_vector)(?:\.weight)?)"
)

_SUPPORTED = frozenset(
    {
        "alpha_pattern",
        "ensure_weight_tying",
        "lora_alpha",
        "modules_to_save",
        "peft_type",
        "r",
        "use_dora",
        "use_rslora",
    }
)

_SAFE_PATTERN = re.compile(r"(?:[\w.^$|()\[\]-]|\\[.d]|(?<!\))[*+?]){1,500}")
_MAX_REPEATS = 2
"""A pattern with few repetitions, none of a group, can't take long, whoever wrote it."""

_IGNORED = frozenset(
    {
        "auto_mapping", "base_model_name_or_path", "eva_config", "exclude_modules", "fan_in_fan_out", "inference_mode",
        "layers_pattern", "layers_to_transform", "loftq_config", "lora_dropout", "megatron_core", "peft_version",
        "qalora_group_size", "rank_pattern", "revision", "target_modules", "task_type",
    }
)  # fmt: skip
"""Options that only matter in training, or that the shapes of the weights show."""

_NEUTRAL: dict[str, tuple[object, ...]] = {
    "bias": ("none",),
    # The others change the model's own weights, too.
    "init_lora_weights": (True, "gaussian", "eva", "orthogonal"),
}
"""Values, besides None, False and empty ones, with which an option changes nothing beyond up · down."""

_VALUES_AT_ONCE = 1 << 22
"""Values of a model's matrix that are read at once."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class LowRankUpdate:
    """A low-rank update of a matrix: y += up · (down · x), or y = gain * y + up · (down · x)."""

    down: Floats  # [rank, in]
    up: Floats  # [out, rank], the adapter's scale and gain multiplied in
    gain: Floats | None = None  # [out], of the matrix's products with x; only DoRA has one


Adapter = Mapping[str, LowRankUpdate]
"""Updates by the canonical name of their matrix without ".weight": "layers.3.q"."""


class _Module(NamedTuple):
    """The tensors of one linear layer in the files."""

    down: RawTensor
    up: RawTensor
    magnitude: RawTensor | None


def open_adapter(
    files: Mapping[str, Path], spec: DecoderSpec, base: Callable[[], Mapping[str, RawTensor]] | None = None
) -> Adapter:
    """Read an adapter of a model of this spec. `files`: file name -> path. `base`: returns the model's tensors by their
    canonical names, which DoRA needs; without it, an adapter of that kind is only checked.

    Raises BadModelFile for files that are damaged or don't fit the model, and UnsupportedModel for another kind of
    adapter.
    """
    config = _read_config(files)
    if config.get("modules_to_save"):
        raise UnsupportedModel(
            f"{CONFIG_NAME} has modules_to_save set to {config['modules_to_save']!r:.60}: whole modules can't be"
            " replaced for some requests of a batch. Merge the adapter into its model:"
            " llmos import PATH --name NEW --merge MODEL"
        )
    updates = _updates(config, _modules(_weights(files)), spec, base)
    if not updates:
        raise BadModelFile(f"{WEIGHTS_NAME} is empty: it has no pair of lora_A and lora_B.")
    return updates


@dataclass(frozen=True, slots=True)
class MergedParts:
    """The changes that an adapter makes, for merging it into its model."""

    updates: Adapter
    saved: Mapping[str, RawTensor]
    """Tensors that it replaces (modules_to_save), by canonical name."""
    is_tied: bool
    """A replaced embedding is the head, too, in a model whose head is its embedding."""


def open_for_merging(
    files: Mapping[str, Path], spec: DecoderSpec, base: Callable[[], Mapping[str, RawTensor]]
) -> MergedParts:
    """Read an adapter as open_adapter() does, which may also replace whole modules. Raises the same."""
    config, weights = _read_config(files), _weights(files)
    updates = _updates(config, _modules({key: weights[key] for key in weights if _KEY.fullmatch(key)}), spec, base)
    saved = {key.removeprefix("base_model.model."): weights[key] for key in weights if not _KEY.fullmatch(key)}
    is_tied = bool(config.get("ensure_weight_tying"))
    return MergedParts(updates, _saved(saved, spec), is_tied)


def _saved(found: Mapping[str, RawTensor], spec: DecoderSpec) -> dict[str, RawTensor]:
    """Return the tensors by their canonical names. Raises BadModelFile and UnsupportedModel for other tensors."""
    untied = replace(spec, tied_head=False)
    sources = sources_in_files(family_of_model_type(spec.family), untied, found)
    if unknown := set(found) - {source.name for source in sources.values()}:
        raise UnsupportedModel(
            f"The adapter replaces {format_names(unknown)}, which {spec.family} models don't have by themselves."
        )
    shapes = untied.tensor_shapes()
    saved = {name: source.load(found[source.name]) for name, source in sources.items() if source.name in found}
    if wrong := [name for name, tensor in saved.items() if tensor.shape != shapes[name]]:
        raise BadModelFile(
            f"The adapter replaces {format_names(wrong)} by tensors of another shape than the model's. It was made for"
            " another model, or for another vocabulary."
        )
    return saved


def _weights(files: Mapping[str, Path]) -> Mapping[str, RawTensor]:
    if WEIGHTS_NAME not in files:
        raise BadModelFile(
            f"{WEIGHTS_NAME} is missing. peft writes it beside {CONFIG_NAME}; a pickled adapter_model.bin is not read."
        )
    return open_safetensors(files[WEIGHTS_NAME], WEIGHTS_NAME)


def _updates(
    config: Mapping[str, Any],
    modules: Mapping[str, _Module],
    spec: DecoderSpec,
    base: Callable[[], Mapping[str, RawTensor]] | None,
) -> Adapter:
    """Return the updates of a model's matrices."""
    adapter: dict[str, LowRankUpdate] = {}
    used: set[str] = set()
    tensors = base() if base is not None and config.get("use_dora") else {}
    for canonical, source in _sources(spec, modules).items():
        module = source.name.removesuffix(".weight")
        if module not in modules:
            continue
        used.add(module)
        found, name = modules[module], canonical.removesuffix(".weight")
        update = _low_rank(name, found, source, spec.tensor_shapes()[canonical], config)
        if config.get("use_dora"):
            update = _with_gain(name, update, _magnitudes(name, found, source, len(update.up)), tensors.get(canonical))
        adapter[name] = update
    if unused := set(modules) - used:
        raise UnsupportedModel(
            f"The adapter changes {format_names(unused)}; in a {spec.family} model it may change the linear layers "
            f"{', '.join(TARGET_MODULES)} of each layer."
        )
    return adapter


def _read_config(files: Mapping[str, Path]) -> dict[str, Any]:
    config = read_json_object(files[CONFIG_NAME], CONFIG_NAME)
    if config.get("peft_type") != "LORA":
        raise UnsupportedModel(f"This adapter has the type {config.get('peft_type')!r}; this engine runs LORA.")
    for name in sorted(config.keys() - _SUPPORTED - _IGNORED):
        value = config[name]
        if value and value not in _NEUTRAL.get(name, ()):
            raise UnsupportedModel(f"{CONFIG_NAME} has {name} set to {value!r:.60}, which this engine doesn't support.")
    if not _is_number(config.get("lora_alpha")):
        raise BadModelFile(f"{CONFIG_NAME} has no numeric lora_alpha.")
    _check_patterns(config)
    return config


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check_patterns(config: Mapping[str, Any]) -> None:
    """Raise BadModelFile or UnsupportedModel for an alpha_pattern that isn't regular expressions with numbers."""
    patterns = config.get("alpha_pattern") or {}
    if not isinstance(patterns, dict) or not all(map(_is_number, patterns.values())):
        raise BadModelFile(f"{CONFIG_NAME} has an alpha_pattern that is no mapping of module names to numbers.")
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise BadModelFile(f"alpha_pattern in {CONFIG_NAME}: {pattern!r:.60} is no pattern ({error}).") from None
        if not _SAFE_PATTERN.fullmatch(pattern) or sum(pattern.count(each) for each in "*+?") > _MAX_REPEATS:
            raise UnsupportedModel(
                f"{CONFIG_NAME} has the alpha_pattern {pattern!r:.60}, which this engine doesn't support. Write the "
                "modules' names out."
            )


def _alpha(config: Mapping[str, Any], module: str) -> float:
    """Return the alpha of a module: that of the first pattern which matches the end of its name, as in peft."""
    for pattern, alpha in (config.get("alpha_pattern") or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return float(alpha)
    return float(config["lora_alpha"])


def _modules(tensors: Mapping[str, RawTensor]) -> dict[str, _Module]:
    """Return the tensors of each module, by the module's name in the model."""
    parts: dict[str, dict[str, RawTensor]] = {}
    for key in tensors:
        match = _KEY.fullmatch(key)
        if match is None:
            raise UnsupportedModel(f"{WEIGHTS_NAME} has {key!r}; an adapter has lora_A.weight and lora_B.weight only.")
        parts.setdefault(match["module"], {})[match["part"] or "magnitude"] = tensors[key]
    if halves := [name for name, found in parts.items() if not {"A", "B"} <= found.keys()]:
        raise BadModelFile(f"{WEIGHTS_NAME} has only one of lora_A and lora_B of {format_names(halves)}.")
    return {name: _Module(found["A"], found["B"], found.get("magnitude")) for name, found in parts.items()}


def _sources(spec: DecoderSpec, modules: Mapping[str, object]) -> dict[str, Source]:
    """Return the sources of the matrices that an adapter may change, by canonical name."""
    sources = sources_in_files(family_of_model_type(spec.family), spec, modules)
    changed = {
        canonical: source
        for canonical, source in sources.items()
        if canonical.endswith(".weight") and canonical.split(".")[-2] in TARGET_MODULES
    }
    # A module may hold more than what an adapter may change: queries, and gates of what attention computes.
    whole = {source.name for canonical, source in sources.items() if canonical not in changed}
    if halves := {name.removesuffix(".weight") for name in whole} & set(modules):
        raise UnsupportedModel(f"This engine adapts only a part of {format_names(halves)} in {spec.family} models.")
    return changed


def _rows_in_file(source: Source, num_rows: int) -> int:
    """Return the number of rows that the tensor of the file has at least."""
    if source.grouped is not None:
        return source.grouped.num_groups * source.grouped.group_size
    return num_rows if source.rows is None else source.rows.stop


def _low_rank(
    name: str, module: _Module, source: Source, shape: tuple[int, ...], config: Mapping[str, Any]
) -> LowRankUpdate:
    down, up = module.down, module.up
    if len(down.shape) != 2:
        raise BadModelFile(f"lora_A of {name} is not a matrix.")
    rank = down.shape[0]
    if not 1 <= rank <= MAX_RANK:
        raise UnsupportedModel(f"The adapter of {name} has the rank {rank:,}; the limit is {MAX_RANK}.")
    alpha = _alpha(config, source.name.removesuffix(".weight"))
    scale = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
    wide = up if len(up.shape) == 2 else None
    fits = wide is not None and wide.shape[1] == rank and wide.shape[0] >= _rows_in_file(source, shape[0])
    # The rows of `up` are loaded as those of the model's matrix, but Conv1D transposes only its own weight.
    part = dequantize(replace(source, transpose=False).load(wide)) if wide is not None and fits else None
    if part is None or (part.shape[0], down.shape[1]) != shape:
        raise BadModelFile(
            f"The adapter of {name} is {list(up.shape)} times {list(down.shape)}; the model's matrix is {list(shape)}. "
            "It was made for another model."
        )
    added = LowRankUpdate(np.ascontiguousarray(dequantize(down)), np.ascontiguousarray(part * np.float32(scale)))
    if not (np.isfinite(added.down).all() and np.isfinite(added.up).all()):
        raise BadModelFile(f"The adapter of {name} has values that are not finite.")
    return added


def _magnitudes(name: str, module: _Module, source: Source, num_rows: int) -> Floats:
    """Return the length that DoRA gives each row of a matrix."""
    if module.magnitude is None:
        raise BadModelFile(f"{WEIGHTS_NAME} lacks the lora_magnitude_vector of {name}, which use_dora needs.")
    values = dequantize(module.magnitude).reshape(-1)
    if len(values) >= _rows_in_file(source, num_rows):
        column = RawTensor("F32", (len(values), 1), np.ascontiguousarray(values).view(np.uint8).reshape(-1, 4))
        values = dequantize(replace(source, transpose=False).load(column)).reshape(-1)
    if len(values) != num_rows or not np.isfinite(values).all():
        raise BadModelFile(
            f"The lora_magnitude_vector of {name} has not {num_rows:,} finite values. It was made for another model."
        )
    return values


def _with_gain(name: str, update: LowRankUpdate, magnitudes: Floats, matrix: RawTensor | None) -> LowRankUpdate:
    """Return the update whose matrix has rows of these lengths. Without the model's matrix, the gains are no true ones.

    W + up · down is scaled row by row: by magnitude / |W + up · down|.
    """
    if matrix is None:
        return replace(update, gain=magnitudes)
    gain = np.empty(len(magnitudes), np.float32)
    step = max(1, _VALUES_AT_ONCE // matrix.num_columns)
    for first in range(0, len(gain), step):
        rows = slice(first, min(first + step, len(gain)))
        changed = dequantize(matrix.take_rows(rows)) + update.up[rows] @ update.down
        gain[rows] = magnitudes[rows] / np.maximum(np.linalg.norm(changed, axis=1), np.float32(1e-30))
    if not np.isfinite(gain).all():
        raise BadModelFile(f"The adapter of {name} gives rows a length that is not finite.")
    return replace(update, up=np.ascontiguousarray(update.up * gain[:, None]), gain=gain)
