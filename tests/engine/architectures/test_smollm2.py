"""The real model, SmolLM2-135M-Instruct from its GGUF file, compared with transformers on the same file."""

from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import pytest
import torch
import transformers
from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

from llmos.engine.checkpoint.checkpoint import Checkpoint, open_checkpoint

PROMPTS = {
    "english": "The meaning of life is",
    "chinese": "天空为什么是蓝色的？请用一句话回答。",
    "code": "def fibonacci(n: int) -> int:\n    if n < 2:\n        return n\n    return",
    "one token": "Once",
    "long": topics["with"][:2000],
}


@pytest.fixture(scope="module")
def checkpoint(smollm2_path: Path) -> Checkpoint:
    return open_checkpoint({"model.gguf": smollm2_path})


@pytest.fixture(scope="module")
def reference(smollm2_path: Path) -> transformers.PreTrainedModel:
    """transformers' own reading of the file. (`from_pretrained` does the same, but insists on another package.)"""
    config = transformers.AutoConfig.from_pretrained(smollm2_path.parent, gguf_file=smollm2_path.name)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager")
    tensors = load_gguf_checkpoint(smollm2_path, return_tensors=True, model_to_load=model)["tensors"]
    left_over = model.load_state_dict(tensors, strict=False)
    assert left_over.missing_keys == ["lm_head.weight"]  # tied
    assert not left_over.unexpected_keys
    model.tie_weights()
    return model.eval()


@pytest.mark.parametrize("prompt", PROMPTS)
def test_logits_equal_those_of_transformers_in_float32(prompt, checkpoint, reference, drive):
    tokens = checkpoint.tokenizer.encode(PROMPTS[prompt])
    with torch.inference_mode():
        expected_LV = reference(torch.tensor([tokens])).logits[0].numpy()
    logits_LV = drive(checkpoint, num_blocks=64).step({"a": tokens})["a"]
    np.testing.assert_allclose(logits_LV, expected_LV, rtol=1e-3, atol=5e-3)
    assert np.array_equal(logits_LV.argmax(-1), expected_LV.argmax(-1))


def test_family_and_context_are_those_of_its_card(checkpoint):
    assert checkpoint.family == "llama"
    assert checkpoint.spec.max_positions == 8192
