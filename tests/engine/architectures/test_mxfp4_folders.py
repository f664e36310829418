"""Folders of gpt-oss whose experts are in MXFP4 have the values that transformers reads."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

from llmos.core.errors import BadModelFile
from llmos.engine.checkpoint.checkpoint import open_checkpoint
from llmos.engine.checkpoint.description import describe
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.runner.native import NativeRunner
from llmos.engine.tensors import dtype_of
from support.tiny_models import TinyModel, make_tiny_model

STACKS = ("gate_up_proj", "down_proj")


def pack_experts(tiny: TinyModel) -> None:
    """Give the experts of a folder random blocks, and those of its reference the values that they stand for."""
    rng = np.random.default_rng(4)
    path = tiny.folder / "model.safetensors"
    tensors, state = load_file(path), tiny.reference.state_dict()
    for name in [name for name in tensors if name.endswith(STACKS)]:
        experts, columns, rows = tensors.pop(name).shape
        blocks = rng.integers(0, 256, (experts, rows, columns // 32, 16)).astype(np.uint8)
        scales = rng.integers(120, 125, (experts, rows, columns // 32)).astype(np.uint8)
        tensors |= {f"{name}_blocks": blocks, f"{name}_scales": scales}
        values = convert_moe_packed_tensors(torch.from_numpy(blocks), torch.from_numpy(scales), dtype=torch.float32)
        state[name].copy_(values)
    save_file(tensors, path)
    config = tiny.folder / "config.json"
    section = {"quantization_config": {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn"]}}
    config.write_text(json.dumps(json.loads(config.read_text()) | section))


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    tiny = make_tiny_model("gpt_oss-blocks", tmp_path_factory.mktemp("packed"))
    pack_experts(tiny)
    return tiny


def test_the_experts_keep_their_exact_values_in_blocks(packed: TinyModel):
    checkpoint = open_checkpoint(packed.files())
    state = packed.reference.state_dict()
    for expert in (0, 4):
        for part, rows in (("gate", slice(0, None, 2)), ("up", slice(1, None, 2))):
            name = f"layers.1.{part}.{expert}.weight"
            assert dtype_of(checkpoint.tensors, name) == "MXFP4"
            expected = state["model.layers.1.mlp.experts.gate_up_proj"][expert].T[rows].numpy()
            assert np.array_equal(dequantize(checkpoint.tensors[name]), expected)
    down = dequantize(checkpoint.tensors["layers.0.down.2.weight"])
    assert np.array_equal(down, state["model.layers.0.mlp.experts.down_proj"][2].T.numpy())
    plan = NativeRunner.plan(checkpoint.spec, lambda name: dtype_of(checkpoint.tensors, name))
    packings = {each.packing for each in plan.placements if ".up." in each.tensor or ".down." in each.tensor}
    assert packings == {"mxfp4"}


def test_logits_are_those_of_transformers(packed: TinyModel, drive):
    prompt = packed.prompt(40)
    found = drive(packed.open()).step({"a": prompt})["a"]
    np.testing.assert_allclose(found, packed.logits(prompt), rtol=1e-3, atol=2e-4)


def test_it_is_described(packed: TinyModel):
    description = describe(packed.files())
    assert (description.family, description.unsupported) == ("gpt_oss", None)


def test_scales_for_other_blocks_are_refused_by_name(packed: TinyModel, tmp_path: Path):
    files = packed.files()
    tensors = load_file(files["model.safetensors"])
    name = "model.layers.0.mlp.experts.down_proj_scales"
    tensors[name] = np.ascontiguousarray(tensors[name][:, :-1])
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(BadModelFile, match=r"down_proj_blocks is .* and .*down_proj_scales"):
        open_checkpoint(files | {"model.safetensors": tmp_path / "model.safetensors"})
