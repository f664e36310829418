"""OpenVINO GenAI's continuous batching: python run_openvino.py MODEL_FOLDER --threads 2 [--max-isa AVX2]"""

import argparse
import os
import time
from importlib.metadata import version

import numpy as np
import openvino as ov
import openvino_genai as genai
from protocol import Facts, Run, serve

CHOICES = {
    "AVX2_VNNI": {"INFERENCE_PRECISION_HINT": "f32"},
    "AVX2": {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0},
}
"""The settings that OpenVINO chooses where oneDNN can do no more. It asks the CPU itself, so under a limit it has to be
told."""


def load() -> tuple[Run, Facts]:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--max-isa", choices=CHOICES, help="the most that oneDNN may use, as in ONEDNN_MAX_CPU_ISA")
    args = parser.parse_args()
    if args.max_isa:
        os.environ["ONEDNN_MAX_CPU_ISA"] = args.max_isa  # oneDNN reads it when the first model is compiled
    properties = {"INFERENCE_NUM_THREADS": args.threads} | CHOICES.get(args.max_isa, {})
    scheduler = genai.SchedulerConfig()
    scheduler.cache_size, scheduler.max_num_seqs, scheduler.max_num_batched_tokens = 2, 64, 512
    scheduler.dynamic_split_fuse, scheduler.enable_prefix_caching = True, False
    pipeline = genai.ContinuousBatchingPipeline(args.model, scheduler, "CPU", properties)

    def run(prompts: list[list[int]], num_output_tokens: int) -> tuple[float, float]:
        config = genai.GenerationConfig()
        config.max_new_tokens, config.ignore_eos, config.do_sample = num_output_tokens, True, False
        began, first_token_seconds = time.perf_counter(), None
        handles = [
            pipeline.add_request(i, ov.Tensor(np.array([prompt], dtype=np.int64)), config)
            for i, prompt in enumerate(prompts)
        ]
        while pipeline.has_non_finished_requests():
            pipeline.step()
            if first_token_seconds is None and any(handle.can_read() for handle in handles):
                first_token_seconds = time.perf_counter() - began
        seconds = time.perf_counter() - began
        return seconds, seconds if first_token_seconds is None else first_token_seconds

    return run, {"version": f"openvino-genai {version('openvino-genai')}"}


serve(load)
