"""llama.cpp loads the quantized and pruned files, and gives the same answers as this engine.

By xllamacpp, which is llama.cpp in a wheel; by llama-cpp-python too where it is installed, or where
LLMOS_TEST_LLAMA_CPP names a Python that has it. Each in a process of its own: it writes to stderr as it likes.
"""

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from llmos.engine.checkpoint.checkpoint import Checkpoint, open_checkpoint
from llmos.engine.compression.prune import prune
from llmos.engine.compression.quantize import quantize
from llmos.engine.compression.recipe import Recipe
from llmos.engine.runner import Batch
from llmos.engine.runner.native import NativeRunner

PROMPT = "One, two, three, four, five,"
COUNT = 8

XLLAMACPP = f"""
import json, sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.n_ctx, params.n_parallel, params.warmup = sys.argv[1], 128, 1, False
asked = {{"prompt": {PROMPT!r}, "max_tokens": {COUNT}, "temperature": 0}}
answer = xllamacpp.Server(params).handle_completions(asked)
print(json.dumps(answer["choices"][0]["text"]))
"""
LLAMA_CPP_PYTHON = f"""
import json, sys, llama_cpp
model = llama_cpp.Llama(sys.argv[1], n_ctx=128, verbose=False)
print(json.dumps(model({PROMPT!r}, max_tokens={COUNT}, temperature=0)["choices"][0]["text"]))
"""


def pythons() -> list[tuple[str, str]]:
    """Yield each Python that has llama.cpp, and the script to run in it."""
    named = os.environ.get("LLMOS_TEST_LLAMA_CPP") or (sys.executable if find_spec("llama_cpp") else None)
    return [(sys.executable, XLLAMACPP), *([(named, LLAMA_CPP_PYTHON)] if named else [])]


NEAR_TIE = 0.3
"""Logits. llama.cpp rounds activations differently, so a token this close to the likeliest one may come instead."""


def forward(checkpoint: Checkpoint, tokens: list[int]) -> np.ndarray:
    """Return the logits after each of the tokens, [token][vocabulary]."""
    runner = NativeRunner(checkpoint.spec, checkpoint.tensors, num_blocks=8, kv_dtype="f16")
    return runner.forward(
        Batch(
            tokens=np.array(tokens, np.int32),
            starts=np.array([0, len(tokens)], np.int32),
            context_lengths=np.zeros(1, np.int32),
            block_tables=np.arange(8, dtype=np.int32)[None],
            logit_rows=np.arange(len(tokens), dtype=np.int32),
        )
    )


def our_next_word(checkpoint: Checkpoint) -> str:
    tokens = checkpoint.tokenizer.encode(PROMPT)
    return checkpoint.tokenizer.decode([int(forward(checkpoint, tokens)[-1].argmax())])


PRUNED = {"layers": 1, "kv_heads": 1, "texts": 2, "length": 32}


@pytest.mark.parametrize(
    ("make", "recipe"),
    [
        *((quantize, Recipe.of("quantize", scheme, {})) for scheme in ("q8_0", "q4_1", "q4_0")),
        (prune, Recipe.of("prune", "structured", PRUNED)),
    ],
    ids=lambda each: each.label() if isinstance(each, Recipe) else None,
)
def test_llama_cpp_loads_the_file_and_gives_the_same_answer(make, recipe, smollm2_path, tmp_path):
    made = make({"model.gguf": smollm2_path}, tmp_path, recipe)
    checkpoint = open_checkpoint(made)
    prompt = checkpoint.tokenizer.encode(PROMPT)
    for python, script in pythons():
        completed = subprocess.run(
            [python, "-c", script, str(made["model.gguf"])], capture_output=True, text=True, timeout=300, check=False
        )
        assert completed.returncode == 0, completed.stderr[-2000:]
        answer = json.loads(completed.stdout.splitlines()[-1])
        tokens = checkpoint.tokenizer.encode(PROMPT + answer)
        assert tokens[: len(prompt)] == prompt
        assert len(tokens) >= len(prompt) + COUNT // 2, answer
        # Every token of llama.cpp's answer is the likeliest here, too, after the same beginning.
        logits = forward(checkpoint, tokens)[len(prompt) - 1 : -1]
        chosen = logits[np.arange(len(logits)), tokens[len(prompt) :]]
        assert (logits.max(axis=1) - chosen).max() < NEAR_TIE, (python, answer)


def test_an_encoding_without_a_ggml_type_is_refused_by_llama_cpp_and_read_here(smollm2_path, tmp_path):
    recipe = Recipe.of("quantize", "minmax", {"bits": 8, "group": 64})
    made = quantize({"model.gguf": smollm2_path}, tmp_path, recipe)
    assert our_next_word(open_checkpoint(made)) == " six"
    completed = subprocess.run(
        [sys.executable, "-c", XLLAMACPP, str(made["model.gguf"])], capture_output=True, timeout=300, check=False
    )
    assert completed.returncode != 0
