"""Calculates whether a model fits this machine's memory, before any of it is loaded.

weights     each matrix as it will be packed (runner/packing.py), and the vectors
KV cache    blocks of 16 positions, as many as the streams need
states      those of recurrent layers, one for each stream, and their snapshots
workspace   a step's activations, logits and scores, as csrc/decoder/decoder.cpp reserves them
process     Python, its libraries, the tokenizer
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from llmos.core.encryption.sealed_path import is_any_sealed
from llmos.core.errors import BadRequest, InsufficientMemory
from llmos.core.hardware import Hardware, inspect_hardware
from llmos.engine.architectures import inverse_frequencies
from llmos.engine.checkpoint.checkpoint import Checkpoint, open_checkpoint
from llmos.engine.config import (
    DEFAULT_MEMORY_SHARE,
    DEFAULT_TOKENS_PER_SEQUENCE,
    EngineConfig,
    resolve,
    resolve_snapshots,
)
from llmos.engine.encoder_spec import DecoderEmbedderSpec, EncoderSpec, ModelSpec
from llmos.engine.runner import BLOCK_SIZE
from llmos.engine.runner.embedder import DecoderEmbedder
from llmos.engine.runner.encoder import NativeEncoder
from llmos.engine.runner.native import NativeRunner
from llmos.engine.runner.packing import Plan, Weights
from llmos.engine.runner.stage import Stage, stage_shapes
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import DType, dtype_of

PROCESS_BYTES = 45_000_000
"""Memory of a replica's Python, numpy and libraries, measured (Python 3.11, x86-64)."""
BYTES_PER_TOKEN_OF_VOCABULARY = 500
"""Memory of the tokenizer: a token's text, its index entry, and the merge that makes it; measured."""

_COLUMNS = 32
_MAX_RANK = 512
_MAX_SPAN = 256
_MOST_ATTENDING_ROWS = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Need:
    """Bytes of memory that a replica takes."""

    weights: int
    kv: int
    states: int = 0
    workspace: int
    process: int

    @property
    def total(self) -> int:
        return self.weights + self.kv + self.states + self.workspace + self.process

    def arithmetic(self) -> str:
        """Return the sum as text: "97 MB of weights + 803 MB of KV cache + ... = 950 MB"."""
        parts = (
            (self.weights, "of weights"),
            (self.kv, "of KV cache"),
            (self.states, "of states"),
            (self.workspace, "of workspace"),
            (self.process, "for the process"),
        )
        return " + ".join(f"{megabytes(size)} {what}" for size, what in parts if size) + f" = {megabytes(self.total)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """The memory that a number of streams of some length needs, compared with what this machine has."""

    need: Need
    available: int
    context: int
    """Tokens of prompt and answer together, for each stream."""
    streams: int
    """Streams of that length at once."""
    num_blocks: int
    num_snapshots: int = 0
    """Snapshots of recurrent states, which `need` includes."""

    @property
    def fits(self) -> bool:
        return self.need.total <= self.available

    @property
    def sentence(self) -> str:
        if self.fits:
            return f"It fits: {self.need.arithmetic()}, and {megabytes(self.available)} are free."
        missing, free = megabytes(self.need.total - self.available), megabytes(self.available)
        return f"It doesn't fit: {self.need.arithmetic()}, and {free} are free: {missing} are missing."


@dataclass(frozen=True, slots=True)
class TensorTypes:
    """The properties that determine the memory of a model: its architecture, and the type of each tensor."""

    spec: ModelSpec
    types: Mapping[str, DType]

    @classmethod
    def read(cls, files: Mapping[str, Path]) -> "TensorTypes":
        """Read the model's description, but not its weights. Raises what open_checkpoint() raises."""
        checkpoint = open_checkpoint(files)
        tensors = checkpoint.tensors
        return cls(checkpoint.spec, {name: dtype_of(tensors, name) for name in tensors})


class MemoryPlanner:
    """Calculates the memory of one model with one configuration on one machine."""

    def __init__(
        self,
        spec: ModelSpec,
        dtypes: Callable[[str], DType],
        config: EngineConfig,
        hardware: Hardware,
        stage: Stage | None = None,
    ) -> None:
        """`stage`: the layers that this machine has of a split model; None for a whole one."""
        self.stage = stage
        self.spec, self.config, self.hardware, self.dtypes = spec, config, hardware, dtypes
        self.threads = config.threads or hardware.num_cores
        self.plan = self.plan_for(config.weights)

    @classmethod
    def from_files(
        cls, files: Mapping[str, Path], config: EngineConfig | None = None, hardware: Hardware | None = None
    ) -> "MemoryPlanner":
        """Read the model's description, but not its weights. Raises what open_checkpoint() raises."""
        return cls.from_checkpoint(open_checkpoint(files), config, hardware)

    @classmethod
    def from_types(
        cls, known: TensorTypes, config: EngineConfig | None = None, hardware: Hardware | None = None
    ) -> "MemoryPlanner":
        return cls(known.spec, known.types.__getitem__, config or EngineConfig(), hardware or inspect_hardware())

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: Checkpoint,
        config: EngineConfig | None = None,
        hardware: Hardware | None = None,
        stage: Stage | None = None,
    ) -> "MemoryPlanner":
        tensors = checkpoint.tensors
        return cls(
            checkpoint.spec,
            lambda name: dtype_of(tensors, name),
            config or EngineConfig(),
            hardware or inspect_hardware(),
            stage,
        )

    def plan_for(self, weights: Weights) -> Plan:
        if isinstance(self.spec, DecoderEmbedderSpec):
            return DecoderEmbedder.plan(self.spec, self.dtypes, weights)
        if isinstance(self.spec, EncoderSpec):
            return NativeEncoder.plan(self.spec.body, self.dtypes, weights)
        return NativeRunner.plan(self.spec, self.dtypes, weights, self.stage)

    @property
    def weight_bytes(self) -> int:
        """The future value of runner.weight_bytes."""
        matrices = {each.tensor for each in self.plan.placements}
        shapes = self.spec.tensor_shapes()
        if self.stage is not None and not isinstance(self.spec, EncoderSpec):
            shapes = stage_shapes(self.spec, self.stage)
        vectors = [shape for name, shape in shapes.items() if name not in matrices]
        if not isinstance(self.spec, EncoderSpec) and self.spec.qk_norm == "each_head":
            vectors = _concatenated(shapes, matrices)
        return self.plan.num_bytes + sum(4 * _padded(math.prod(shape)) for shape in vectors)

    @property
    def block_bytes(self) -> int:
        """Bytes of one block of the KV cache, in all layers that are here."""
        if isinstance(self.spec, EncoderSpec):
            return 0
        # A stage of recurrent layers alone keeps no keys.
        return max(1, NativeRunner.block_bytes(self.spec, self.config.kv_dtype, self.stage))

    @property
    def state_bytes(self) -> int:
        """Bytes of one sequence's state in the recurrent layers."""
        return 0 if isinstance(self.spec, EncoderSpec) else NativeRunner.state_bytes(self.spec, self.stage)

    def default_states(self) -> int:
        """Return how many sequences of a recurrent model the engine runs at once, within a share of the memory."""
        room = int(self.hardware.available_bytes * DEFAULT_MEMORY_SHARE)
        return max(1, min(self.config.max_sequences, room // max(self.state_bytes, 1)))

    def default_snapshots(self, num_blocks: int, num_states: int) -> int:
        """Return how many snapshots of recurrent states the engine keeps beside these. Raises what
        resolve_snapshots() raises."""
        if isinstance(self.spec, EncoderSpec):
            return 0
        longest = min(self.spec.max_positions, DEFAULT_TOKENS_PER_SEQUENCE)
        need = self.need(1, longest, num_blocks, num_states=num_states)
        free_bytes = self.hardware.available_bytes - need.total
        return resolve_snapshots(
            self.config, free_bytes=free_bytes, state_bytes=self.state_bytes, num_states=num_states
        )

    @property
    def process_bytes(self) -> int:
        if self.stage is not None and not self.stage.is_home:
            return PROCESS_BYTES
        return PROCESS_BYTES + BYTES_PER_TOKEN_OF_VOCABULARY * self.spec.vocab_size

    def workspace_bytes(self, streams: int, context: int) -> int:
        """Return the bytes that steps of max_batched_tokens tokens and the logits of `streams` reserve."""
        tokens, threads = self.config.max_batched_tokens, self.threads
        if isinstance(self.spec, DecoderEmbedderSpec):
            tokens = max(tokens, self.spec.max_positions)
            rows = tokens if self.spec.pooling == "mean" else self.config.max_batched_tokens
            keys = DecoderEmbedder.num_blocks(self.spec, self.config.max_batched_tokens) * NativeRunner.block_bytes(
                self.spec.decoder, DecoderEmbedder.kv_dtype(self.config.weights)
            )
            return keys + _decoder_workspace(self.spec.decoder, tokens, rows, self.spec.max_positions, threads)
        if isinstance(self.spec, EncoderSpec):
            return _encoder_workspace(self.spec, max(tokens, self.spec.max_positions), threads)
        rows = streams * (1 + min(self.config.max_draft_tokens, 1))
        return _decoder_workspace(self.spec, tokens, rows, context, threads)

    def need(self, streams: int, context: int, num_blocks: int, *, num_states: int | None = None) -> Need:
        """`num_states`: of recurrent layers, snapshots included. None: one for each stream."""
        return Need(
            weights=self.weight_bytes,
            kv=num_blocks * self.block_bytes,
            states=(streams if num_states is None else num_states) * self.state_bytes,
            workspace=self.workspace_bytes(streams, context),
            process=self.process_bytes,
        )

    def fit(self, *, context: int | None = None, streams: int | None = None) -> Fit:
        """Return the fit for `streams` that all have `context` tokens at once.

        With neither: for the defaults of `llmos serve`, or for one usual stream if there is no room for these. Raises
        BadRequest for a context that the model can't have, InsufficientMemory if the configured KV cache has no room.
        """
        spec, config = self.spec, self.config
        if streams is not None and streams < 1:
            raise BadRequest(f"streams is {streams}; it takes a whole number from 1 up.", param="streams")
        longest = min(config.context_length or spec.max_positions, spec.max_positions)
        if context is not None and not 1 <= context <= longest:
            raise BadRequest(f"context is {context:,}; this model takes 1 to {longest:,} tokens.", param="context")
        available = self.hardware.available_bytes
        if isinstance(spec, EncoderSpec):
            need = self.need(0, spec.max_positions, 0)
            return Fit(need=need, available=available, context=longest, streams=streams or 1, num_blocks=0)
        if context is None and streams is None:
            try:
                num_blocks = self.default_blocks()
            except InsufficientMemory:
                least = self.at(min(longest, DEFAULT_TOKENS_PER_SEQUENCE), 1)
                if least.fits:  # the model fits, but the configured KV cache does not
                    raise
                return least
            length = min(longest, num_blocks * BLOCK_SIZE)
            usual = min(length, DEFAULT_TOKENS_PER_SEQUENCE)
            count = max(1, min(config.max_sequences, num_blocks * BLOCK_SIZE // usual))
            num_states = self.default_states()
            num_snapshots = self.default_snapshots(num_blocks, num_states)
            return Fit(
                need=self.need(count, length, num_blocks, num_states=num_states + num_snapshots),
                available=available,
                context=usual,
                streams=count,
                num_blocks=num_blocks,
                num_snapshots=num_snapshots,
            )
        length = context or min(longest, DEFAULT_TOKENS_PER_SEQUENCE)
        return self.at(length, streams or 1)

    def at(self, context: int, streams: int) -> Fit:
        """Return the fit for these, whatever the config says."""
        num_blocks, available = streams * -(-context // BLOCK_SIZE), self.hardware.available_bytes
        num_snapshots = resolve_snapshots(
            replace(self.config, snapshot_bytes=None),
            free_bytes=available - self.need(streams, context, num_blocks).total,
            state_bytes=self.state_bytes,
            num_states=streams,
        )
        return Fit(
            need=self.need(streams, context, num_blocks, num_states=streams + num_snapshots),
            available=available,
            context=context,
            streams=streams,
            num_blocks=num_blocks,
            num_snapshots=num_snapshots,
        )

    def check_room(self) -> Need:
        """Return the memory of the model without a KV cache.

        Raises InsufficientMemory, with the arithmetic, if this machine has no room for it and one block.
        """
        longest = min(self.spec.max_positions, DEFAULT_TOKENS_PER_SEQUENCE)
        need, available = self.need(1, longest, 0), self.hardware.available_bytes
        if need.total + self.block_bytes > available:
            beside = "" if isinstance(self.spec, EncoderSpec) else ", without any KV cache"
            raise InsufficientMemory(
                f"This machine has no room for the model: {need.arithmetic()}{beside}, and {megabytes(available)} are "
                "free. Free some memory, or use a smaller model; `llmos fit` shows what would fit."
            )
        return need

    def default_blocks(self) -> int:
        """Return how many KV cache blocks the engine allocates. Raises what check_room() and resolve() raise."""
        assert not isinstance(self.spec, EncoderSpec), "an encoder has no KV cache"
        without = self.check_room()
        return resolve(
            self.config,
            free_bytes=self.hardware.available_bytes - without.total,
            num_cores=self.hardware.num_cores,
            max_positions=self.spec.max_positions,
            block_bytes=self.block_bytes,
            block_size=BLOCK_SIZE,
        ).num_blocks

    def with_fewer_streams(self, fit: Fit) -> Fit | None:
        """Return the fit for the most streams of this context that fit, fewer than now; None if not even one does."""
        return _largest(1, fit.streams - 1, lambda streams: self.at(fit.context, streams))

    def with_shorter_context(self, fit: Fit) -> Fit | None:
        """Return the fit for the longest context that fits, in whole blocks; None if not even 128 tokens do."""
        low, high = 128 // BLOCK_SIZE, (fit.context - 1) // BLOCK_SIZE
        return _largest(low, high, lambda blocks: self.at(blocks * BLOCK_SIZE, fit.streams))

    def in_4_bits(self, fit: Fit) -> Fit | None:
        """Return the same with the layers in 4 bits; None if that takes no less memory."""
        smaller = MemoryPlanner(self.spec, self.dtypes, replace(self.config, weights="int4"), self.hardware)
        if smaller.weight_bytes >= self.weight_bytes:
            return None
        return replace(fit, need=replace(fit.need, weights=smaller.weight_bytes))


def check_fits(
    files: Mapping[str, Path], config: EngineConfig, *, replicas: int = 1, hardware: Hardware | None = None
) -> None:
    """Raise InsufficientMemory, with the arithmetic and what would fit, if this machine has too little for `replicas`.

    Replicas share their weights if the config has a folder for packed weights, in which those of an encrypted model
    never are.
    """
    hardware = hardware or inspect_hardware()
    need = usual_need(files, config, hardware)
    shared = need.weights if config.packed_folder is not None and not is_any_sealed(files) else 0
    total = shared + replicas * (need.total - shared)
    if total <= hardware.available_bytes:
        return
    most = max(0, (hardware.available_bytes - shared) // (need.total - shared))
    advice = f"At most {most} fit: --max {most}." if most else "Free some memory, or use a smaller model."
    times = f" for each of {replicas} replicas" if replicas > 1 else ""
    raise InsufficientMemory(
        f"This machine has no room for it: {need.arithmetic()}{times}, {megabytes(total)} in all, and "
        f"{megabytes(hardware.available_bytes)} are free. {advice}"
    )


def usual_need(files: Mapping[str, Path], config: EngineConfig, hardware: Hardware) -> Need:
    """Return the memory of one replica with this configuration on this hardware.

    Raises InsufficientMemory if the configured KV cache has no room, and what open_checkpoint() raises.
    """
    planner = MemoryPlanner.from_files(files, config, hardware)
    num_blocks = 0 if isinstance(planner.spec, EncoderSpec) else planner.default_blocks()
    num_states = planner.default_states() if num_blocks else 0
    return planner.need(
        1 if num_blocks else 0,
        min(planner.spec.max_positions, DEFAULT_TOKENS_PER_SEQUENCE),
        num_blocks,
        num_states=num_states + planner.default_snapshots(num_blocks, num_states),
    )


def check_fit_together(
    models: Mapping[str, Mapping[str, Path]], config: EngineConfig, *, hardware: Hardware | None = None
) -> None:
    """Raise InsufficientMemory, with the arithmetic, if this machine lacks the memory for all of these models at once.

    `models`: the files of each, by its reference. The engine gives each a KV cache of what is left when it is loaded,
    so the least that each needs is counted: one usual sequence, or the configured cache. One model alone is not
    checked; see check_fits().
    """
    if len(models) < 2:
        return
    hardware = hardware or inspect_hardware()
    needs = {}
    for ref, files in models.items():
        planner = MemoryPlanner.from_files(files, config, hardware)
        if isinstance(planner.spec, EncoderSpec):
            needs[ref] = planner.fit().need.total
            continue
        length = min(planner.spec.max_positions, DEFAULT_TOKENS_PER_SEQUENCE)
        usual = planner.at(length, 1).need
        needs[ref] = usual.total - usual.kv + (usual.kv if config.kv_bytes is None else config.kv_bytes)
    total = sum(needs.values())
    if total > hardware.available_bytes:
        each = ", ".join(f"{ref} {megabytes(need)}" for ref, need in needs.items())
        raise InsufficientMemory(
            f"This machine has no room for all {len(needs)} models at once: {each}, {megabytes(total)} in all, and"
            f" {megabytes(hardware.available_bytes)} are free. Serve fewer, or smaller versions: llmos fit MODEL"
        )


def megabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:,.2f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:,.0f} MB"


def _largest(low: int, high: int, at: Callable[[int], Fit]) -> Fit | None:
    """Return the fit of the largest number that fits, by bisection: the memory grows with the number."""
    best = None
    while low <= high:
        middle = (low + high) // 2
        fit = at(middle)
        if fit.fits:
            best, low = fit, middle + 1
        else:
            high = middle - 1
    return best


def _padded(size: int, to: int = _COLUMNS) -> int:
    return -(-size // to) * to


def _row_bytes(num_values: int) -> int:
    """Return the bytes of activations: each value as a float and a byte, and three floats for every 32 values."""
    return num_values * 5 + num_values // _COLUMNS * 12


def _concatenated(shapes: Mapping[str, tuple[int, ...]], matrices: set[str]) -> list[tuple[int, ...]]:
    """Return the shapes of the vectors. Those that are numbered within a layer are stored as one."""
    sizes: dict[str, int] = {}
    for name, shape in shapes.items():
        if name not in matrices:
            stem = ".".join(part for i, part in enumerate(name.split(".")) if i != 3 or not part.isdecimal())
            sizes[stem] = sizes.get(stem, 0) + math.prod(shape)
    return [(size,) for size in sizes.values()]


def _decoder_workspace(spec: DecoderSpec, tokens: int, logit_rows: int, context: int, threads: int) -> int:
    hidden, attention, kv = (_padded(n) for n in (spec.hidden_size, spec.attention_size, spec.kv_size))
    inner = max(_padded(size) for size in (spec.intermediate_size, spec.expert_size, spec.shared_expert_size))
    mixed, recurrent = (_padded(n) if spec.is_recurrent else 0 for n in (spec.conv_channels, spec.recurrent_size))
    inputs, all_inputs = (_padded(n) for n in (spec.layer_input_size, spec.num_layers * spec.layer_input_size))
    widest = max(hidden, attention, recurrent, inputs)
    floats = tokens * (hidden + attention + 2 * kv)
    if spec.post_norm or spec.parallel_residual or spec.residual_multiplier != 1 or spec.shared_expert_size:
        floats += tokens * hidden
    floats += tokens * max(attention if spec.attention_gate else 0, recurrent)
    laurel = _padded(spec.laurel_size)
    cut = inner if any(cutoff > -math.inf for cutoff in spec.gate_cutoffs) else 0
    floats += tokens * (hidden * spec.residual_streams * (spec.residual_streams > 1) + laurel + cut)
    widest = max(widest, laurel)
    floats += tokens * (inputs + all_inputs + (hidden if spec.norms_experts else 0))
    if spec.is_recurrent:
        floats += tokens * mixed * (2 if spec.recurrence == "conv" else 1) + 16
        floats += tokens * 2 * _padded(spec.recurrent_heads, 16)
        floats += tokens * spec.recurrent_heads * _padded(spec.recurrent_value_size, 16)
    slots = tokens * max(1, spec.experts_per_token)
    rows = tokens * widest + slots * inner
    if spec.num_experts:
        floats += tokens * _padded(spec.num_experts, 16) + slots * hidden
        rows += slots * hidden
    floats += tokens * (2 * sum(map(len, inverse_frequencies(spec))) + 1)
    logits = logit_rows * _padded(spec.vocab_size if spec.has_head else spec.hidden_size, 16)
    scores = _MOST_ATTENDING_ROWS * -(-context // BLOCK_SIZE) * BLOCK_SIZE
    own = scores + 2 * _MAX_SPAN * _COLUMNS + max(widest, inner, all_inputs) + 4 * widest + _MAX_RANK
    return 4 * (floats + logits) + _row_bytes(rows) + threads * 4 * own


def _encoder_workspace(spec: EncoderSpec, tokens: int, threads: int) -> int:
    hidden, attention = _padded(spec.hidden_size), _padded(spec.num_heads * spec.head_dim)
    inner = _padded(spec.intermediate_size)
    floats = tokens * (hidden + 3 * attention)
    kept = tokens * 2 * (attention + 8 * spec.num_heads)
    rows = tokens * (hidden + max(hidden, attention) + inner)
    own = _MOST_ATTENDING_ROWS * _padded(tokens) + _MAX_SPAN * _COLUMNS + max(hidden, inner)
    return 4 * floats + kept + _row_bytes(rows) + threads * 4 * own
