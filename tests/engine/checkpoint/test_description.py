"""Describing a model: size, type and recommended parameters, also for a model that the engine can't run."""

import json

import gguf
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from llmos.core.errors import UnsupportedModel
from llmos.engine.checkpoint.checkpoint import open_checkpoint
from llmos.engine.checkpoint.description import describe
from support.tiny_encoders import make_tiny_encoder
from support.tiny_gguf import write_tokenizer
from support.tiny_models import TinyModel, make_tiny_model, write_gguf


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    return make_tiny_model("llama", tmp_path_factory.mktemp("llama"))


def test_the_type_is_that_of_most_parameters(smollm2_path):
    description = describe({"model.gguf": smollm2_path})
    assert (description.family, description.dtype_summary) == ("llama", "Q4_1")
    assert description.num_parameters == 134_515_008


def test_original_weights_are_preferred_to_a_quantization_beside_them(llama, tmp_path):
    path = write_gguf(llama, tmp_path / "a.gguf")
    assert describe(llama.files() | {"a.gguf": path}).format == "safetensors"


def test_an_unsupported_model_is_described_with_the_reason(llama, tmp_path):
    config = json.loads((llama.folder / "config.json").read_text()) | {
        "model_type": "t5",
        "max_position_embeddings": 512,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    files = llama.files() | {"config.json": tmp_path / "config.json"}
    description = describe(files)
    assert (description.family, description.dtype_summary, description.context_length) == ("t5", "F32", 512)
    assert description.num_parameters > 0
    assert description.unsupported is not None
    assert "type t5" in description.unsupported
    with pytest.raises(UnsupportedModel, match="type t5"):
        open_checkpoint(files)


def test_a_model_with_unsupported_tensor_types_is_described(llama, tmp_path):
    path = write_gguf(llama, tmp_path / "x.gguf")
    matrices = {tensor.name: tensor.shape[::-1] for tensor in gguf.GGUFReader(path).tensors if len(tensor.shape) == 2}
    integers = {name: np.ones([int(size) for size in shape], np.int32) for name, shape in matrices.items()}
    description = describe({"y.gguf": write_gguf(llama, tmp_path / "y.gguf", extra=integers)})
    assert (description.family, description.dtype_summary, description.context_length) == ("llama", "unknown", 256)
    assert description.unsupported is not None
    assert "has type I32" in description.unsupported


def test_tensors_that_the_model_does_not_use_may_have_any_type(tmp_path):
    """All-MiniLM-L6-v2 keeps its position ids."""
    tiny = make_tiny_encoder("bert", tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    save_file(weights | {"embeddings.position_ids": np.arange(64)}, tmp_path / "model.safetensors")
    assert describe(tiny.files()).unsupported is None


def test_a_description_agrees_with_the_checkpoint(llama, tmp_path):
    path = write_gguf(llama, tmp_path / "x.gguf", metadata={"general.license": "apache-2.0"})
    description = describe({"x.gguf": path})
    assert (description.format, description.license, description.unsupported) == ("gguf", "apache-2.0", None)
    assert description.dtype_summary == "F32"
    assert description.num_parameters == sum(p.numel() for p in llama.reference.parameters())
    assert description.context_length == 256


def test_what_a_model_takes_besides_text_is_named(tmp_path):
    tiny = make_tiny_model("gemma4", tmp_path / "tiny")
    text = json.loads((tiny.folder / "config.json").read_text())
    config = {"model_type": "gemma4", "text_config": text, "vision_config": {}, "audio_config": None}
    write_tokenizer(tiny.folder / "tokenizer.json")
    (tiny.folder / "config.json").write_text(json.dumps(config))
    assert describe(tiny.files(), with_tokenizer=True).warnings == (
        "The model also takes images. This engine runs it on text, and leaves out its parts for images.",
    )
    (tiny.folder / "config.json").write_text(json.dumps(text))
    assert describe(tiny.files(), with_tokenizer=True).warnings == ()
