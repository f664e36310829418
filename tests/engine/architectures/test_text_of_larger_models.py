"""The language model of a model that also takes images is run from its folder, whichever way its tensors are named."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from llmos.core.errors import BadModelFile
from llmos.engine.checkpoint.checkpoint import open_checkpoint
from llmos.engine.formats.dequantize import dequantize

WRAPPED = {
    "gemma3": "gemma3-layer-types", "mistral3": "ministral3", "qwen3_5": "qwen3_5", "qwen3_5_moe": "qwen3_5_moe",
    "gemma3n": "gemma3n", "gemma4": "gemma4-shared", "gemma4_unified": "gemma4_unified",
}  # fmt: skip
OLDER = "language_model."


@pytest.fixture(params=WRAPPED)
def wrapped(request, tiny_model_of, tmp_path):
    """A language model, the files of one that contains it, and a function that renames its tensors."""
    tiny = tiny_model_of(WRAPPED[request.param])
    config = json.loads((tiny.folder / "config.json").read_text())
    outer = {"model_type": request.param, "text_config": config, "vision_config": {"hidden_size": 8}}
    (tmp_path / "config.json").write_text(json.dumps(outer))

    def write(rename):
        tensors = {rename(name): values for name, values in load_file(tiny.folder / "model.safetensors").items()}
        tensors["vision_tower.patch.weight"] = np.ones((2, 3), np.float32)
        save_file(tensors, tmp_path / "model.safetensors")
        return {path.name: path for path in tmp_path.iterdir()}

    return tiny, write


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: OLDER + name,
        lambda name: name.replace("model.", "model.language_model.", 1) if name.startswith("model.") else name,
    ],
    ids=["older", "newer"],
)
def test_its_tensors_and_its_spec_are_those_of_the_language_model(wrapped, rename):
    tiny, write = wrapped
    alone, within = tiny.open(), open_checkpoint(write(rename))
    assert within.spec == alone.spec
    for name in alone.spec.tensor_shapes():
        assert np.array_equal(dequantize(within.tensors[name]), dequantize(alone.tensors[name])), name


def test_a_config_without_a_language_model_is_rejected(wrapped, tmp_path):
    _, write = wrapped
    files = write(lambda name: name)
    config = json.loads(files["config.json"].read_text())
    del config["text_config"]
    files["config.json"].write_text(json.dumps(config))
    with pytest.raises(BadModelFile, match="lacks text_config"):
        open_checkpoint(files)
