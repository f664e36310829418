"""Checkpoints converted from TensorFlow, in which layer norms have gamma and beta."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from llmos.engine.checkpoint.checkpoint import open_checkpoint
from llmos.engine.formats.dequantize import dequantize
from support.tiny_encoders import make_tiny_encoder


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_gamma_and_beta_are_the_weight_and_bias_of_layer_norms(tmp_path, kind):
    files = make_tiny_encoder(kind, tmp_path / "tiny").files()
    expected = open_checkpoint(files).tensors
    older = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
        for name, tensor in load_file(files["model.safetensors"]).items()
    }
    assert any(name.endswith("gamma") for name in older)
    save_file(older, tmp_path / "older.safetensors")
    found = open_checkpoint(files | {"model.safetensors": tmp_path / "older.safetensors"}).tensors
    for name in expected:
        np.testing.assert_array_equal(dequantize(found[name]), dequantize(expected[name]))
