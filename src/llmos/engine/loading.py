"""Loads a model's files into an engine.

this thread     open the files ---- map the packed weights, or pack them in C++ ---- engine
in background                  `--- make the tokenizer ------------------------´---- compile the chat template
"""

import ctypes
import gc
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from llmos.core.encryption.sealed_path import is_any_sealed
from llmos.core.errors import UnsupportedModel
from llmos.core.hardware import inspect_hardware
from llmos.core.progress import Progress, no_progress
from llmos.engine.checkpoint.checkpoint import Checkpoint, open_checkpoint
from llmos.engine.config import EngineConfig
from llmos.engine.embedding import EmbeddingEngine
from llmos.engine.encoder_spec import DecoderEmbedderSpec, EncoderSpec, ModelSpec
from llmos.engine.engine import Engine
from llmos.engine.messages import Ready
from llmos.engine.packed_file import PackedFolder
from llmos.engine.runner import BLOCK_SIZE
from llmos.engine.runner.cross_encoder import CrossEncoder
from llmos.engine.runner.embedder import DecoderEmbedder
from llmos.engine.runner.encoder import NativeEncoder
from llmos.engine.runner.native import NativeRunner, Packer
from llmos.engine.runner.packing import pack
from llmos.engine.runner.split import SplitRunner
from llmos.engine.sizing.fit import MemoryPlanner
from llmos.engine.stages import StageOrder, make_split_runner
from llmos.engine.tensors import RawTensor

if TYPE_CHECKING:
    from llmos.engine.text.tokenizer import Tokenizer


def load(
    files: Mapping[str, Path],
    config: EngineConfig,
    progress: Progress = no_progress,
    stages: Sequence[StageOrder] = (),
) -> tuple[Engine | EmbeddingEngine, Ready]:
    """Load a decoder or an encoder onto this machine's CPU. `files`: file name -> path, as for open_checkpoint().

    `stages`: of a split model, those behind the layers of this machine. Raises BadModelFile or UnsupportedModel for the
    files, BadRequest for the config and for stages that are not the model's layers, InsufficientMemory, StageLost.
    """
    started = time.perf_counter()
    loaded = _load(files, config, progress, stages)
    spec, runner, tokenizer = loaded.spec, loaded.runner, loaded.tokenizer
    engine: Engine | EmbeddingEngine
    if isinstance(runner, NativeRunner | SplitRunner):
        engine = Engine(runner, tokenizer, config, base=lambda: open_checkpoint(files).tensors)
    else:
        engine = EmbeddingEngine(runner, tokenizer, config)
    _return_freed_memory()
    return engine, Ready(
        family=spec.family,
        context_length=engine.context_length,
        vocab_size=spec.vocab_size,
        has_template=tokenizer.has_template,
        num_blocks=runner.num_blocks if isinstance(runner, NativeRunner | SplitRunner) else 0,
        weight_bytes=runner.weight_bytes,
        kv_bytes=runner.kv_bytes if isinstance(runner, NativeRunner | SplitRunner) else 0,
        load_seconds=time.perf_counter() - started,
        isa=runner.isa,
        threads=loaded.threads,
        shares_weights=loaded.shares_weights,
    )


@dataclass(frozen=True, slots=True)
class _Loaded:
    spec: ModelSpec
    runner: NativeRunner | SplitRunner | NativeEncoder | DecoderEmbedder | CrossEncoder
    threads: int
    tokenizer: "Tokenizer"
    shares_weights: bool


def load_engine(files: Mapping[str, Path], config: EngineConfig) -> tuple[Engine, Ready]:
    """Load a model that generates text. Raises what load() raises, and UnsupportedModel for an encoder."""
    engine, ready = load(files, config)
    if isinstance(engine, EmbeddingEngine):
        raise UnsupportedModel("This model makes embeddings and generates no text. Use a model that generates text.")
    return engine, ready


def load_embedding_engine(files: Mapping[str, Path], config: EngineConfig) -> tuple[EmbeddingEngine, Ready]:
    """Load a model that makes embeddings. Raises what load() raises, and UnsupportedModel for a decoder."""
    engine, ready = load(files, config)
    if isinstance(engine, Engine):
        raise UnsupportedModel("This model generates text and makes no embeddings. Use an embedding model.")
    return engine, ready


def _load(files: Mapping[str, Path], config: EngineConfig, progress: Progress, stages: Sequence[StageOrder]) -> _Loaded:
    """Return what is needed of the checkpoint. Its header and file mapping are freed when this function returns."""
    background = ThreadPoolExecutor(1, "tokenizer")
    try:
        with _without_collections():
            checkpoint = open_checkpoint(files)
            future = background.submit(lambda: checkpoint.tokenizer)
            folder = packed_folder(files, config, progress)
            packer = folder.pack if folder is not None else partial(pack, progress=progress)
            runner: NativeRunner | SplitRunner | NativeEncoder | DecoderEmbedder | CrossEncoder
            if stages:
                runner, threads = make_split_runner(checkpoint, config, packer, stages)
            else:
                runner, threads = _make_runner(checkpoint, config, packer)
            tokenizer = future.result()
        background.submit(tokenizer.warm_up)
    finally:
        background.shutdown(wait=False)
    return _Loaded(checkpoint.spec, runner, threads, tokenizer, folder is not None and folder.is_shared)


def packed_folder(files: Mapping[str, Path], config: EngineConfig, progress: Progress) -> PackedFolder | None:
    """Return the folder for the packed weights. None for an encrypted model, whose weights stay in this process's own
    memory: on the disk they would be in the clear."""
    if config.packed_folder is None or is_any_sealed(files):
        return None
    return PackedFolder(Path(config.packed_folder), files, progress)


def _make_runner(
    checkpoint: Checkpoint, config: EngineConfig, packer: Packer
) -> tuple[NativeRunner | NativeEncoder | DecoderEmbedder | CrossEncoder, int]:
    """Return the runner with all its weights packed, and its number of threads."""
    spec, hardware = checkpoint.spec, inspect_hardware()
    planner = MemoryPlanner.from_checkpoint(checkpoint, config, hardware)
    planner.check_room()
    if isinstance(spec, EncoderSpec):
        body = _make_encoder(spec.body, checkpoint.tensors, config, planner.threads, packer)
        encoder = body if spec.score_head is None else CrossEncoder(spec, body, checkpoint.tensors)
        return encoder, planner.threads
    num_blocks, num_states = planner.default_blocks(), planner.default_states()
    context_length = min(config.context_length or spec.max_positions, num_blocks * BLOCK_SIZE)
    runner = NativeRunner(
        spec.for_context_length(context_length),
        checkpoint.tensors,
        num_blocks=num_blocks,
        threads=planner.threads,
        isa=config.isa,
        weights=config.weights,
        kv_dtype=config.kv_dtype,
        packer=packer,
        num_states=num_states,
        num_snapshots=planner.default_snapshots(num_blocks, num_states),
    )
    return runner, planner.threads


def _make_encoder(
    spec: EncoderSpec, tensors: Mapping[str, RawTensor], config: EngineConfig, threads: int, packer: Packer
) -> NativeEncoder | DecoderEmbedder:
    if isinstance(spec, DecoderEmbedderSpec):
        return DecoderEmbedder(
            spec,
            tensors,
            max_batched_tokens=config.max_batched_tokens,
            threads=threads,
            isa=config.isa,
            weights=config.weights,
            packer=packer,
        )
    return NativeEncoder(spec, tensors, threads=threads, isa=config.isa, weights=config.weights, packer=packer)


@contextmanager
def _without_collections() -> Iterator[None]:
    """Turn the garbage collector off: it would walk again and again through the 200,000 objects of a vocabulary."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _return_freed_memory() -> None:
    """Return memory that loading has freed to the system. Only glibc's allocator can."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
