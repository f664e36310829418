"""vLLM's CPU backend in bf16: python run_vllm.py MODEL_FOLDER --threads 2"""

import argparse
import os
import time
from importlib.metadata import version

from protocol import Facts, Run, serve


def load() -> tuple[Run, Facts]:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, required=True)
    args = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))[: args.threads]
    # vLLM reads these when it is imported. Unbound, it keeps a core free for its frontend.
    os.environ |= {
        "VLLM_CPU_KVCACHE_SPACE": "2",
        "VLLM_CPU_OMP_THREADS_BIND": ",".join(map(str, cores)),
        "VLLM_LOGGING_LEVEL": "ERROR",
        "HF_HUB_OFFLINE": "1",
    }
    from vllm import LLM, SamplingParams

    llm = LLM(
        model=args.model,
        dtype="bfloat16",
        max_model_len=2048,
        max_num_seqs=64,
        max_num_batched_tokens=2048,
        enable_prefix_caching=False,
    )

    def seconds_for(prompts: list[list[int]], num_output_tokens: int) -> float:
        sampling = SamplingParams(max_tokens=num_output_tokens, temperature=0, ignore_eos=True)
        began = time.perf_counter()
        llm.generate([{"prompt_token_ids": prompt} for prompt in prompts], sampling, use_tqdm=False)
        return time.perf_counter() - began

    def run(prompts: list[list[int]], num_output_tokens: int) -> tuple[float, float]:
        # generate() returns only at the end, so the first token is timed in a run of its own.
        first_token_seconds = seconds_for(prompts, 1) if len(prompts) == 1 and num_output_tokens > 1 else 0.0
        return seconds_for(prompts, num_output_tokens), first_token_seconds

    return run, {"version": f"vllm-cpu {version('vllm-cpu')}"}


if __name__ == "__main__":  # vLLM's workers import this file
    serve(load)
