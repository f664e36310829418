"""The CPU runner and the sampler, in C++. Calls release the GIL while they compute."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from llmos.engine.encoder_spec import EncoderSpec
from llmos.engine.spec import DecoderSpec

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.uint8]
Placement = tuple[int, str, int, str, int, int, int]
Scored = tuple[Ints, Ints, int]
Piece = tuple[str, str, str, int, Bytes, int]

class Pool:
    def __init__(self, num_threads: int) -> None: ...
    @property
    def num_threads(self) -> int: ...
    @property
    def num_active(self) -> int: ...

class Runner:
    def __init__(
        self,
        pool: Pool,
        spec: DecoderSpec,
        inverse_frequencies: Sequence[Sequence[float]],
        num_blocks: int,
        isa: str,
        cache_type: str,
        num_states: int,
        stage: tuple[int, int] | None = None,
    ) -> None: ...
    def place(self, memory: Bytes, placements: Sequence[Placement]) -> None: ...
    def set_vector(self, layer: int, name: str, data: Floats) -> None: ...
    def set_adapter(
        self, index: int, pairs: Sequence[tuple[int, str, Floats, Floats, Floats | None]] | None
    ) -> None: ...
    def forward(
        self,
        tokens: Ints,
        starts: Ints,
        context_lengths: Ints,
        block_tables: Ints,
        logit_rows: Ints,
        adapters: Ints | None = None,
        states: Ints | None = None,
        restored: Ints | None = None,
        copies: Ints | None = None,
        scored: Scored | None = None,
    ) -> Floats: ...
    def refused(
        self,
        tokens: Ints,
        starts: Ints,
        context_lengths: Ints,
        block_tables: Ints,
        logit_rows: Ints,
        adapters: Ints | None = None,
        scored: Scored | None = None,
    ) -> list[int]: ...
    def advance(
        self,
        tokens: Ints | None,
        rows: Floats | None,
        starts: Ints,
        context_lengths: Ints,
        block_tables: Ints,
        wanted_rows: Ints,
        adapters: Ints | None = None,
        states: Ints | None = None,
        restored: Ints | None = None,
        copies: Ints | None = None,
    ) -> Floats: ...
    def finish(self, rows: Floats, logit_rows: Ints, scored: Scored | None = None) -> Floats: ...
    def row_size(self, boundary: int) -> int: ...
    def likeliest(self) -> tuple[Floats, Ints]: ...
    def scores(self) -> tuple[Floats, Ints, Floats, Ints, Floats]: ...
    def set_profiling(self, is_on: bool) -> None: ...
    def profile(self) -> dict[str, float]: ...
    @property
    def pool(self) -> Pool: ...
    @property
    def weight_bytes(self) -> int: ...
    @property
    def kv_bytes(self) -> int: ...
    @property
    def isa(self) -> str: ...

class Encoder:
    def __init__(self, pool: Pool, spec: EncoderSpec, isa: str, is_exact: bool) -> None: ...
    def place(self, memory: Bytes, placements: Sequence[Placement]) -> None: ...
    def set_vector(self, layer: int, name: str, data: Floats) -> None: ...
    def forward(self, tokens: Ints, starts: Ints, types: Ints | None = None) -> Floats: ...
    def refused(self, tokens: Ints, starts: Ints) -> list[int]: ...
    @property
    def weight_bytes(self) -> int: ...
    @property
    def isa(self) -> str: ...

def block_bytes(spec: DecoderSpec, cache_type: str, stage: tuple[int, int] | None = None) -> int: ...
def state_bytes(spec: DecoderSpec, stage: tuple[int, int] | None = None) -> int: ...
def memory(bytes: int) -> Bytes: ...
def packed_bytes(packing: str, rows: int, columns: int) -> int: ...
def pack_rows(pool: Pool, pieces: Sequence[Piece], memory: Bytes) -> None: ...
def fit_q4_1(pool: Pool, values: Floats) -> Bytes: ...
def available_isas() -> list[str]: ...
def sample(
    pool: Pool,
    logits: Floats,
    temperature: Floats,
    top_k: Ints,
    top_p: Floats,
    min_p: Floats,
    seeds: npt.NDArray[np.uint64],
    steps: npt.NDArray[np.uint64],
    num_logprobs: Ints,
    repetition: Floats,
    presence: Floats,
    frequency: Floats,
    seen_starts: Ints,
    seen_ids: Ints,
    seen_counts: Ints,
    bias_starts: Ints,
    bias_ids: Ints,
    bias_values: Floats,
    highest: Floats | None = None,
    likeliest: Ints | None = None,
    masks: npt.NDArray[np.uint32] | None = None,
    mask_rows: Ints | None = None,
    isa: str = "",
) -> tuple[Ints, Floats, Ints, Floats]: ...
