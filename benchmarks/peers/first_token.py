"""Measure the time from the start of a process to its first token, with the files in the page cache."""

import sys
import time
from collections.abc import Sequence

from engines import Engine, engine
from environments import Environments
from forms import GGUF_KINDS, Model
from turns import VOCAB_SIZE, started

from llmos.engine.sizing.workloads import random_prompts

PROMPT_TOKENS = 32
LLAMA_CPP_CONTEXT = 512
"""The weights format that each engine uses by default, and so LLMOS too."""


def first_token_seconds(model: Model, environments: Environments, threads: int, rounds: int) -> dict[str, list[float]]:
    """Return every engine's times by its name. The engines run in turn."""
    small_context = ("--streams", 1, "--tokens-per-stream", LLAMA_CPP_CONTEXT)
    engines = []
    for kind in GGUF_KINDS:
        path = model.gguf(kind)
        engines += [
            engine(f"LLMOS {kind}", environments.llmos, "run_llmos.py", path, threads),
            engine(f"llama.cpp {kind}", environments.llama_cpp, "run_llama_cpp.py", path, threads, *small_context),
        ]
    for each in engines:
        start_to_first_token(each, random_prompts(1, PROMPT_TOKENS, 99, VOCAB_SIZE))  # fills the page cache
    seconds: dict[str, list[float]] = {each.name: [] for each in engines}
    for round_ in range(rounds):
        print(f"First token, round {round_ + 1} of {rounds}", file=sys.stderr, flush=True)
        prompts = random_prompts(1, PROMPT_TOKENS, 100 + round_, VOCAB_SIZE)
        for each in engines:
            seconds[each.name].append(start_to_first_token(each, prompts))
    return seconds


def start_to_first_token(engine: Engine, prompts: Sequence[list[int]]) -> float:
    began = time.perf_counter()
    with started(engine) as running:
        running.send(prompts, 1)
        running.facts()
        running.timing()
        return round(time.perf_counter() - began, 4)
