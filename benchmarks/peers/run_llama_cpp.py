"""llama.cpp through llama-cpp-python's batch API: python run_llama_cpp.py MODEL.gguf --threads 2 [--streams 64]

--streams 64 --tokens-per-stream 256 is a KV cache of 64 times 256 tokens, which the streams share as they need.
"""

import argparse
import time
from importlib.metadata import version

import llama_cpp as ll
import numpy as np
from protocol import Facts, Run, serve

MAX_BATCH = 2048


def load() -> tuple[Run, Facts]:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--tokens-per-stream", type=int, default=256)
    args = parser.parse_args()
    ll.llama_backend_init()
    model = ll.llama_model_load_from_file(args.model.encode(), ll.llama_model_default_params())
    params = ll.llama_context_default_params()
    params.n_ctx, params.n_seq_max, params.kv_unified = args.streams * args.tokens_per_stream, args.streams, True
    params.n_batch, params.n_ubatch = MAX_BATCH, 512
    params.n_threads = params.n_threads_batch = args.threads
    context = ll.llama_init_from_model(model, params)
    num_vocab = ll.llama_vocab_n_tokens(ll.llama_model_get_vocab(model))

    def decode(rows: list[tuple[int, int, int, bool]]) -> list[int]:
        """Run rows of (token, position, sequence, wants logits); return the most probable token of the latter."""
        batch = ll.llama_batch_init(len(rows), 0, 1)
        batch.n_tokens = len(rows)
        for i, (token, position, sequence, wants_logits) in enumerate(rows):
            batch.token[i], batch.pos[i], batch.n_seq_id[i] = token, position, 1
            batch.seq_id[i][0], batch.logits[i] = sequence, wants_logits
        if ll.llama_decode(context, batch):
            raise RuntimeError("llama_decode failed")
        next_tokens = [
            int(np.ctypeslib.as_array(ll.llama_get_logits_ith(context, i), (num_vocab,)).argmax())
            for i, row in enumerate(rows)
            if row[3]
        ]
        ll.llama_batch_free(batch)
        return next_tokens

    def run(prompts: list[list[int]], num_output_tokens: int) -> tuple[float, float]:
        ll.llama_memory_clear(ll.llama_get_memory(context), True)
        began, last = time.perf_counter(), []
        rows = [
            (token, position, sequence, position == len(prompt) - 1)
            for sequence, prompt in enumerate(prompts)
            for position, token in enumerate(prompt)
        ]
        for i in range(0, len(rows), MAX_BATCH):
            last += decode(rows[i : i + MAX_BATCH])
        first_token_seconds = time.perf_counter() - began
        for step in range(num_output_tokens - 1):
            last = decode([(token, len(prompts[s]) + step, s, True) for s, token in enumerate(last)])
        return time.perf_counter() - began, first_token_seconds

    return run, {"version": f"llama-cpp-python {version('llama-cpp-python')}"}


serve(load)
