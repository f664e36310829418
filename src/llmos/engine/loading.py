"""From a model's files to an engine that runs."""

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from llmos.core.hardware import inspect_hardware
from llmos.engine.checkpoint import open_checkpoint
from llmos.engine.config import EngineConfig, resolve
from llmos.engine.engine import Engine
from llmos.engine.messages import Ready
from llmos.engine.runner import BLOCK_SIZE
from llmos.engine.runner.native import NativeRunner


def load_engine(files: Mapping[str, Path], config: EngineConfig) -> tuple[Engine, Ready]:
    """Load the model onto this machine's CPU. `files` is what open_checkpoint takes.

    Raises BadModelFile or UnsupportedModel for the files, BadRequest for the config, Unavailable for too little memory.
    """
    started = time.perf_counter()
    checkpoint = open_checkpoint(files)
    spec = checkpoint.spec
    # The tokenizer is built while the weights are packed.
    with ThreadPoolExecutor(1, "tokenizer") as background:
        tokenizer_future = background.submit(lambda: checkpoint.tokenizer)
        hardware = inspect_hardware()
        capacity = resolve(
            config,
            free_bytes=max(0, hardware.available_bytes - sum(path.stat().st_size for path in files.values())),
            num_cores=hardware.num_cores,
            max_positions=spec.max_positions,
            block_bytes=NativeRunner.block_bytes(spec, config.kv_dtype),
            block_size=BLOCK_SIZE,
        )
        runner = NativeRunner(
            spec,
            checkpoint.tensors,
            num_blocks=capacity.num_blocks,
            threads=capacity.threads,
            isa=config.isa,
            weights=config.weights,
            kv_dtype=config.kv_dtype,
        )
        tokenizer = tokenizer_future.result()
    engine = Engine(runner, tokenizer, config)
    return engine, Ready(
        family=spec.family,
        context_length=engine.context_length,
        vocab_size=spec.vocab_size,
        has_template=tokenizer.has_template,
        num_blocks=runner.num_blocks,
        weight_bytes=runner.weight_bytes,
        kv_bytes=runner.kv_bytes,
        load_seconds=time.perf_counter() - started,
        isa=runner.isa,
        threads=capacity.threads,
    )
