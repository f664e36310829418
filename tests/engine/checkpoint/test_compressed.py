"""Folders with compressed weights: every matrix has the values of its format's own definition."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from llmos.core.errors import BadModelFile, UnsupportedModel
from llmos.engine.checkpoint.checkpoint import Checkpoint, open_checkpoint
from llmos.engine.formats.dequantize import dequantize
from support.tiny_folders import write_folder

Arrays = dict[str, np.ndarray]
Made = tuple[Arrays, np.ndarray]
"""The arrays of a compressed matrix, and the values that they stand for."""

GROUP = 32


def pack(levels: np.ndarray, bits: int = 4) -> np.ndarray:
    """[R, N] levels -> [R, N * bits / 32] words, lowest bits first."""
    each_bit = (levels[..., None] >> np.arange(bits)) & 1
    packed = np.packbits(each_bit.reshape(len(levels), -1).astype(np.uint8), axis=1, bitorder="little")
    return np.ascontiguousarray(np.pad(packed, ((0, 0), (0, -packed.shape[1] % 4)))).view(np.int32)


def grid(shape: tuple[int, int], bits: int, is_symmetric: bool, group_of_column: np.ndarray | None = None):
    """Return random levels, scales, zeros and the values."""
    rng = np.random.default_rng(shape[0])
    num_rows, num_columns = shape
    groups = np.arange(num_columns) // GROUP if group_of_column is None else group_of_column
    levels = rng.integers(0, 1 << bits, shape)
    scales = rng.uniform(0.01, 0.05, (num_rows, num_columns // GROUP)).astype(np.float16)
    zeros = np.full(scales.shape, 1 << (bits - 1)) if is_symmetric else rng.integers(1, 1 << bits, scales.shape)
    values = (levels - zeros[:, groups]) * scales.astype(np.float32)[:, groups]
    return levels, scales, zeros, values


def gptq(bits: int = 4, is_symmetric: bool = True, version: str = "gptq", order: str = "none"):
    def compress(weight: np.ndarray) -> Made:
        groups = np.arange(weight.shape[1]) // GROUP
        if order == "act":
            groups = np.random.default_rng(1).permutation(groups)
        levels, scales, zeros, values = grid(weight.shape, bits, is_symmetric, groups)
        stored = zeros - (0 if version == "gptq_v2" else 1)
        arrays = {
            "qweight": pack(levels, bits).T, "qzeros": pack(stored.T, bits), "scales": scales.T,
            "g_idx": groups.astype(np.int32),
        }  # fmt: skip
        return arrays, values

    return {"quant_method": "gptq", "bits": bits, "group_size": GROUP, "checkpoint_format": version}, compress


def awq():
    order = [0, 2, 4, 6, 1, 3, 5, 7]

    def compress(weight: np.ndarray) -> Made:
        levels, scales, zeros, values = grid(weight.shape, 4, False)

        def pack_rows(each: np.ndarray) -> np.ndarray:
            return pack(each.reshape(len(each), -1, 8)[..., order].reshape(len(each), -1))

        return {"qweight": pack_rows(levels.T), "qzeros": pack_rows(zeros.T), "scales": scales.T}, values

    return {"quant_method": "awq", "bits": 4, "group_size": GROUP, "version": "gemm", "zero_point": True}, compress


def packed(bits: int = 4, is_symmetric: bool = True):
    def compress(weight: np.ndarray) -> Made:
        levels, scales, zeros, values = grid(weight.shape, bits, is_symmetric)
        arrays = {
            "weight_packed": pack(levels, bits),
            "weight_scale": scales,
            "weight_shape": np.array(weight.shape, np.int64),
        }
        if not is_symmetric:
            arrays["weight_zero_point"] = pack(zeros.T, bits).T
        return arrays, values

    weights = {"num_bits": bits, "type": "int", "group_size": GROUP, "symmetric": is_symmetric}
    groups = {"group_0": {"targets": ["Linear"], "weights": weights}}
    return {"quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": groups}, compress


def int8():
    def compress(weight: np.ndarray) -> Made:
        levels = np.random.default_rng(2).integers(-128, 128, weight.shape).astype(np.int8)
        scales = np.full((len(weight), 1), 0.001953125, np.float16)
        return {"weight": levels, "weight_scale": scales}, levels * scales.astype(np.float32)

    weights = {"num_bits": 8, "type": "int", "strategy": "channel", "symmetric": True}
    groups = {"group_0": {"targets": ["Linear"], "weights": weights}}
    return {"quant_method": "compressed-tensors", "format": "int-quantized", "config_groups": groups}, compress


QUANTIZERS: dict[str, tuple[Callable[[], Any], str]] = {
    "gptq, symmetric": (gptq, "Q4_0"),
    "gptq, zero points": (lambda: gptq(is_symmetric=False), "Q4_1"),
    "gptq of version 2": (lambda: gptq(is_symmetric=False, version="gptq_v2"), "Q4_1"),
    "gptq with the columns in another order": (lambda: gptq(order="act"), "F32"),
    "gptq of 2 bits": (lambda: gptq(bits=2), "F32"),
    "gptq of 3 bits": (lambda: gptq(bits=3), "F32"),
    "gptq of 3 bits with zero points": (lambda: gptq(bits=3, is_symmetric=False), "F32"),
    "gptq of 8 bits": (lambda: gptq(bits=8), "Q8_0"),
    "awq": (awq, "Q4_1"),
    "compressed-tensors of 4 bits": (packed, "Q4_0"),
    "compressed-tensors of 4 bits with zero points": (lambda: packed(is_symmetric=False), "Q4_1"),
    "compressed-tensors of 5 bits": (lambda: packed(bits=5), "F32"),
    "compressed-tensors of int8": (int8, "Q8_0"),
}


def compress_folder(
    folder: Path, method: Mapping[str, Any], compress: Callable[[np.ndarray], Made], drop: str = ""
) -> dict[str, np.ndarray]:
    """Compress the matrices of the layers of a tiny model; return their values by canonical name."""
    write_folder(folder)
    tensors: Arrays = {}
    values: dict[str, np.ndarray] = {}
    with safe_open(folder / "model.safetensors", framework="numpy") as file:
        for name in file.keys():  # noqa: SIM118
            if not name.endswith("_proj.weight"):
                tensors[name] = file.get_tensor(name)
                continue
            arrays, values[name] = compress(file.get_tensor(name))
            module = name.removesuffix(".weight")
            tensors |= {f"{module}.{part}": np.ascontiguousarray(each) for part, each in arrays.items() if part != drop}
    save_file(tensors, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": dict(method)}))
    return values


def opened(folder: Path) -> Checkpoint:
    return open_checkpoint({path.name: path for path in folder.iterdir()})


@pytest.mark.parametrize("quantizer", QUANTIZERS)
def test_every_matrix_has_the_values_of_its_definition(tmp_path: Path, quantizer: str) -> None:
    make, dtype = QUANTIZERS[quantizer]
    values = compress_folder(tmp_path / "model", *make())
    checkpoint = opened(tmp_path / "model")
    down = checkpoint.tensors["layers.2.down.weight"]
    assert down.dtype == dtype
    expected = values["model.layers.2.mlp.down_proj.weight"]
    # Q4_1 rounds the minimum to 16 bits; all else is exact.
    np.testing.assert_allclose(dequantize(down), expected, rtol=0, atol=3e-4 if dtype == "Q4_1" else 0)


def _float8_value(code: int) -> float:
    """Return the value of a byte in E4M3, as the OCP's specification of 8-bit floats defines it."""
    sign, exponent, mantissa = -1 if code & 128 else 1, code >> 3 & 15, code & 7
    if (exponent, mantissa) == (15, 7):
        return math.nan
    return sign * (math.ldexp(8 + mantissa, exponent - 10) if exponent else math.ldexp(mantissa, -9))


FLOAT8_VALUES = np.array([_float8_value(code) for code in range(256)], np.float32)


def float8(scale_name: str, shape: Callable[[int, int], tuple[int, ...]], config: Mapping[str, Any]):
    def compress(weight: np.ndarray) -> Made:
        rng = np.random.default_rng(3)
        codes = rng.choice(np.flatnonzero(np.isfinite(FLOAT8_VALUES)), weight.shape)
        scales = rng.uniform(0.5, 2, shape(*weight.shape)).astype(np.float32)
        by_value = scales
        if "weight_block_size" in config:
            by_value = scales.repeat(16, 0)[: weight.shape[0]].repeat(32, 1)[:, : weight.shape[1]]
        return {"weight": codes.astype(np.uint8), scale_name: scales}, FLOAT8_VALUES[codes] * by_value

    return config, compress


FLOAT8 = {
    "of the matrix": float8("weight_scale", lambda o, i: (1,), {"quant_method": "fp8"}),
    "of each row": float8("weight_scale", lambda o, i: (o, 1), {"quant_method": "fbgemm_fp8"}),
    "of blocks": float8(
        "weight_scale_inv",
        lambda o, i: (-(-o // 16), -(-i // 32)),
        {"quant_method": "fp8", "weight_block_size": [16, 32]},
    ),
}


@pytest.mark.parametrize("kind", FLOAT8)
def test_fp8_is_multiplied_by_its_scales(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "model"
    values = compress_folder(folder, *FLOAT8[kind])
    _call_the_weights_fp8(folder / "model.safetensors")
    down = opened(folder).tensors["layers.1.down.weight"]
    np.testing.assert_array_equal(dequantize(down), values["model.layers.1.mlp.down_proj.weight"])


def _call_the_weights_fp8(path: Path) -> None:
    """numpy has no FP8, so that the bytes were saved as U8."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = data[8 : 8 + length].replace(b'"U8"', b'"F8_E4M3"')
    path.write_bytes(len(header).to_bytes(8, "little") + header + data[8 + length :])


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ({"quant_method": "aqlm"}, r"quantized with aqlm, which this engine does not read\. Use the original"),
        ({"quant_method": "awq", "bits": 4, "version": "gemv"}, "awq .bits 4, version 'gemv'"),
        ({"quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized"}, "'nvfp4-pack-quantized'"),
    ],
)
def test_another_method_is_refused_by_name(tmp_path: Path, method: Mapping[str, Any], message: str) -> None:
    compress_folder(tmp_path / "model", method, gptq()[1])
    with pytest.raises(UnsupportedModel, match=message):
        opened(tmp_path / "model")


@pytest.mark.parametrize("part", ["scales", "qzeros"])
def test_a_missing_array_is_named(tmp_path: Path, part: str) -> None:
    compress_folder(tmp_path / "model", *gptq(), drop=part)
    with pytest.raises(BadModelFile, match=rf"_proj has no {part}\."):
        opened(tmp_path / "model")
