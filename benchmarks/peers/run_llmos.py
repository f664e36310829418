"""LLMOS, in process: python run_llmos.py MODEL.gguf THREADS"""

import sys
from pathlib import Path

from protocol import Run, serve

from llmos.engine.config import EngineConfig
from llmos.engine.loading import load_engine
from llmos.engine.workloads import runs_on


def load() -> Run:
    path, threads = Path(sys.argv[1]), int(sys.argv[2])
    engine, _ = load_engine({path.name: path}, EngineConfig(threads=threads))
    timed = runs_on(engine)

    def run(prompts: list[list[int]], num_output_tokens: int) -> tuple[float, float]:
        timing = timed(prompts, num_output_tokens)
        return timing.seconds, timing.first_token_seconds

    return run


serve(load)
