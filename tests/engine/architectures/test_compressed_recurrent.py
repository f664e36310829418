"""Folders of recurrent models whose matrices are compressed give the logits of what the matrices stand for."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from llmos.engine.checkpoint.checkpoint import open_checkpoint
from support.tiny_models import make_tiny_model

CASES = ["qwen3_next", "qwen3_5", "lfm2", "granitemoehybrid"]
GROUP = 16


def to_fp8(weight: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Compress with a scale for each row. Returns the arrays and the values."""
    scales = weight.abs().amax(1, keepdim=True) / 448
    codes = (weight / scales).to(torch.float8_e4m3fn)
    return {"weight": codes, "weight_scale": scales}, codes.float() * scales


def to_packed_4_bits(weight: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Compress as compressed-tensors' pack-quantized, with a scale for each group of columns."""
    rows, columns = weight.shape
    scales = (weight.reshape(rows, -1, GROUP).abs().amax(2) / 7).half()
    spread = scales.float().repeat_interleave(GROUP, 1)
    levels = torch.clamp(torch.round(weight / spread) + 8, 0, 15)
    padded = np.pad(levels.numpy().astype(np.uint8), ((0, 0), (0, -columns % 8)))
    packed = np.ascontiguousarray(padded[:, ::2] | padded[:, 1::2] << 4).view(np.int32)
    arrays = {
        "weight_packed": torch.from_numpy(packed),
        "weight_scale": scales,
        "weight_shape": torch.tensor(weight.shape),
    }
    return arrays, (levels - 8) * spread


METHODS = {
    "fp8": ({"quant_method": "fp8"}, to_fp8),
    "pack-quantized": (
        {
            "quant_method": "compressed-tensors",
            "format": "pack-quantized",
            "config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "int", "group_size": GROUP}}},
        },
        to_packed_4_bits,
    ),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", CASES)
def test_a_compressed_recurrent_model_runs_with_the_values_of_its_folder(case: str, method: str, tmp_path: Path, drive):
    tiny = make_tiny_model(case, tmp_path)
    section, compress = METHODS[method]
    tensors, plain = {}, {}
    for name, weight in load_file(tmp_path / "model.safetensors").items():
        is_linear = weight.ndim == 2 and "embed" not in name and "lm_head" not in name and weight.shape[1] % GROUP == 0
        if not is_linear:
            tensors[name] = plain[name] = weight
            continue
        arrays, plain[name] = compress(weight)
        tensors |= {f"{name.removesuffix('weight')}{part}": each.contiguous() for part, each in arrays.items()}
    prompt = tiny.prompt(20)
    save_file(plain, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with torch.inference_mode():
        expected = tiny.open_reference()(torch.tensor([prompt])).logits[0].numpy()
    save_file(tensors, tmp_path / "model.safetensors")
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"quantization_config": section}))
    found = drive(open_checkpoint(tiny.files())).step({"a": prompt})["a"]
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=3e-4)
