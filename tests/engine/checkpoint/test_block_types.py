"""A GGUF file with its weights in any of GGUF's block types is opened and run."""

from dataclasses import replace
from pathlib import Path

import pytest

from llmos.engine.architectures import llama
from llmos.engine.checkpoint.checkpoint import open_checkpoint
from llmos.engine.runner.native import NativeRunner
from llmos.engine.runner.torch import TorchRunner
from llmos.engine.tensors import BLOCK_BYTES, BLOCK_LENGTH, DType
from support.gguf_files import write_gguf
from support.random_models import BLOCK_TYPES, K_LLAMA, batch_of, prompt_of, random_model, typical_error

SPEC = replace(K_LLAMA, num_layers=1)
METADATA = {
    "general.architecture": "llama", "llama.context_length": SPEC.max_positions, "llama.block_count": SPEC.num_layers,
    "llama.embedding_length": SPEC.hidden_size, "llama.feed_forward_length": SPEC.intermediate_size,
    "llama.attention.head_count": SPEC.num_heads, "llama.attention.head_count_kv": SPEC.num_kv_heads,
    "llama.attention.layer_norm_rms_epsilon": SPEC.norm_eps, "llama.vocab_size": SPEC.vocab_size,
}  # fmt: skip


@pytest.mark.parametrize("dtype", [dtype for dtype, length in BLOCK_LENGTH.items() if length > 1])
def test_a_file_in_any_block_type_runs_with_its_own_values(dtype: DType, tmp_path: Path) -> None:
    sources, model = llama.gguf_sources(SPEC), random_model(SPEC, dtype)
    write_gguf(tmp_path / "model.gguf", METADATA, {sources[name].name: tensor for name, tensor in model.items()})
    checkpoint = open_checkpoint({"model.gguf": tmp_path / "model.gguf"})
    assert checkpoint.tensors["layers.0.down.weight"].dtype == dtype
    batch = batch_of([(0, prompt_of(9, 1), [3])])
    native = NativeRunner(checkpoint.spec, checkpoint.tensors, num_blocks=4)
    reference = TorchRunner(checkpoint.spec, checkpoint.tensors, num_blocks=4)
    assert typical_error(native.forward(batch), reference.forward(batch)) < 0.05
    in_file = sum(tensor.data.nbytes for tensor in checkpoint.tensors.values() if tensor.dtype == dtype)
    if dtype in BLOCK_TYPES and dtype != "Q3_K":
        assert native.weight_bytes < 1.1 * in_file, f"{BLOCK_BYTES[dtype]} bytes a block in the file"
