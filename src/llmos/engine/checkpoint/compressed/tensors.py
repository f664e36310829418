"""The tensors of a folder with its compressed matrices replaced by decompressed ones, each when it is accessed."""

from collections.abc import Mapping
from typing import Any, Protocol

from llmos.core.errors import UnsupportedModel
from llmos.engine.checkpoint.compressed.awq import AWQ
from llmos.engine.checkpoint.compressed.float8 import Float8
from llmos.engine.checkpoint.compressed.gptq import GPTQ
from llmos.engine.checkpoint.compressed.mxfp4 import with_experts
from llmos.engine.checkpoint.compressed.packed import Packed, PlainBytes
from llmos.engine.checkpoint.compressed.parts import Array, Parts
from llmos.engine.tensors import DType, LazyTensors, RawTensor, dtype_of, shape_of

KEYS = ("quantization_config", "compression_config")
"""The section of config.json; the second is its name in older files of compressed-tensors."""

ADVICE = "Use the original checkpoint, or a GGUF file of it."


class Folder(Protocol):
    """The safetensors files of a folder."""

    tensors: Mapping[str, RawTensor]

    def type_of(self, name: str) -> str:
        """Return the type of a tensor as safetensors names it, such as I32."""

    def array(self, name: str) -> Array:
        """Return a tensor as an array of numbers; as bytes where numpy lacks the type."""


class Method(Protocol):
    """A way to compress a matrix."""

    MAIN: str
    TYPES: frozenset[str]
    PARTS: frozenset[str]

    def dtype(self, parts: Parts) -> DType:
        """Return the type of read()'s tensor, without reading the matrix. Raises as read() does, so does shape()."""

    def shape(self, parts: Parts) -> tuple[int, ...]: ...

    def read(self, parts: Parts) -> RawTensor:
        """Decompress a matrix. Raises BadModelFile if its arrays are incomplete or contradict each other."""


def decompress(config: Mapping[str, Any], folder: Folder) -> Mapping[str, RawTensor]:
    """Return the tensors of a folder, with a weight in the place of each compressed matrix.

    Raises UnsupportedModel for a method that this engine doesn't read. A matrix whose arrays are incomplete raises
    BadModelFile when it, its type or its shape is accessed.
    """
    section = next((config[key] for key in KEYS if config.get(key)), None)
    if section is None:
        return folder.tensors
    if isinstance(section, Mapping) and section.get("quant_method") == "mxfp4":
        return with_experts(folder)
    method = _method(section if isinstance(section, Mapping) else {})
    suffix = f".{method.MAIN}"
    modules = [
        name.removesuffix(suffix)
        for name in folder.tensors
        if name.endswith(suffix) and folder.type_of(name) in method.TYPES
    ]
    parts_of = {
        f"{module}.weight": [part for part in sorted(method.PARTS) if f"{module}.{part}" in folder.tensors]
        for module in modules
    }
    hidden = {f"{name.removesuffix('weight')}{part}" for name, parts in parts_of.items() for part in parts}
    infos = {name: None for name in folder.tensors if name not in hidden} | parts_of

    def parts(name: str, found: list[str]) -> Parts:
        module = name.removesuffix(".weight")
        return Parts(module, {part: folder.array(f"{module}.{part}") for part in found})

    return LazyTensors(
        infos,
        lambda name, found: folder.tensors[name] if found is None else method.read(parts(name, found)),
        lambda name, found: dtype_of(folder.tensors, name) if found is None else method.dtype(parts(name, found)),
        lambda name, found: shape_of(folder.tensors, name) if found is None else method.shape(parts(name, found)),
    )


def _method(section: Mapping[str, Any]) -> Method:
    name = section.get("quant_method", "compressed-tensors" if "config_groups" in section else "an unnamed method")
    match name:
        case "gptq" if section.get("bits") in (2, 3, 4, 8):
            return GPTQ(section["bits"], 0 if section.get("checkpoint_format") == "gptq_v2" else 1)
        case "awq" if section.get("bits") == 4 and str(section.get("version", "gemm")).lower() == "gemm":
            return AWQ()
        case "fp8" | "fbgemm_fp8":
            return Float8(_block(section.get("weight_block_size")))
        case "compressed-tensors":
            return _compressed_tensors(section)
    kinds = ", ".join(f"{key} {section[key]!r:.40}" for key in ("bits", "version", "fmt") if key in section)
    raise UnsupportedModel(
        f"These weights are quantized with {name!s:.40}{f' ({kinds})' if kinds else ''}, which this engine does not "
        f"read. {ADVICE}"
    )


def _compressed_tensors(section: Mapping[str, Any]) -> Method:
    groups = section.get("config_groups")
    first = next(iter(groups.values()), None) if isinstance(groups, Mapping) else None
    weights = first.get("weights") if isinstance(first, Mapping) else None
    match section.get("format"):
        case "pack-quantized":
            return Packed()
        case "int-quantized":
            return PlainBytes()
        case "float-quantized" | "naive-quantized" if isinstance(weights, Mapping) and weights.get("num_bits") == 8:
            return Float8(_block(weights.get("block_structure"))) if weights.get("type") == "float" else PlainBytes()
        case format:
            raise UnsupportedModel(
                f"These weights are compressed-tensors of the format {format!r:.40}, which this engine does not read. "
                f"{ADVICE}"
            )


def _block(sizes: object) -> tuple[int, int] | None:
    is_pair = isinstance(sizes, list) and len(sizes) == 2 and all(type(n) is int and n > 0 for n in sizes)
    return (sizes[0], sizes[1]) if is_pair and isinstance(sizes, list) else None
