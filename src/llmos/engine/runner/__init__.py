"""Runners, which compute the logits of a batch: native on the CPU, and torch as the reference."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from llmos.core.errors import LLMOSError
from llmos.engine.spec import DecoderSpec

if TYPE_CHECKING:
    from llmos.engine.checkpoint.adapters import Adapter

BLOCK_SIZE = 16
"""Positions that one block of the paged KV cache holds, in every layer."""


MAX_ADAPTERS = 32
"""Adapters that a runner holds at once."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The new tokens of one step, S sequences one after another, N tokens in all.

    The new tokens of sequence s are tokens[starts[s]:starts[s + 1]]. Their positions begin at context_lengths[s], the
    number of its tokens in the KV cache. Its block b (positions 16 b to 16 b + 15) is block_tables[s, b].
    """

    tokens: npt.NDArray[np.int32]  # [N]
    starts: npt.NDArray[np.int32]  # [S + 1]
    context_lengths: npt.NDArray[np.int32]  # [S]
    block_tables: npt.NDArray[np.int32]  # [S, blocks of the longest], entries behind a table are ignored
    logit_rows: npt.NDArray[np.int32]  # [R] indices into tokens, ascending
    adapters: npt.NDArray[np.int32] | None = None  # [S] adapter indices, -1 for none; None if no sequence has one
    states: npt.NDArray[np.int32] | None = None  # [S] where a recurrent model keeps each sequence's state; None: s
    restored: npt.NDArray[np.int32] | None = None
    """[S] the snapshot with which a sequence's state begins, -1: it continues its own; None: all -1."""
    snapshots: npt.NDArray[np.int32] | None = None
    """[C, 3] (s, count, index): the state of sequence s behind `count` of its new tokens is copied to `index`.
    Ascending by s, then by count."""

    scored_rows: npt.NDArray[np.int32] | None = None
    """[Q] indices into tokens, ascending, with repetitions where several tokens are scored at one position; None: none.
    They are independent of logit_rows."""
    scored_tokens: npt.NDArray[np.int32] | None = None
    """[Q] the token that is scored behind each of them."""
    num_top: int = 0
    """K, the most likely tokens that are reported for each scored row."""

    @classmethod
    def one_each(cls, tokens_S: npt.NDArray[np.int32], num_before: int, block_tables: npt.NDArray[np.int32]) -> "Batch":
        """Return a step with one new token for every sequence, all at position `num_before`."""
        count = len(tokens_S)
        return cls(
            tokens=np.ascontiguousarray(tokens_S),
            starts=np.arange(count + 1, dtype=np.int32),
            context_lengths=np.full(count, num_before, np.int32),
            block_tables=block_tables,
            logit_rows=np.arange(count, dtype=np.int32),
        )


@dataclass(frozen=True, slots=True)
class Likeliest:
    """The largest logit of each of the last step's R rows."""

    highest_R: npt.NDArray[np.float32]
    tokens_R: npt.NDArray[np.int32]
    """The lowest token id that has it; -1 if a logit of the row is not finite."""


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of the last step's Q given tokens in the model's own distribution: before temperature and penalties.

    A row with a logit that is not finite has NaN, rank 0 and tokens -1; the others are unaffected.
    Equal to the bit whatever else is in the step, and to the sampler's logprobs of the same tokens.
    """

    logprobs_Q: npt.NDArray[np.float32]
    """Natural logarithms."""
    ranks_Q: npt.NDArray[np.int32]
    """1 for the most likely token; of equal ones the lowest id comes first."""
    entropies_Q: npt.NDArray[np.float32]
    """In nats."""
    top_ids_QK: npt.NDArray[np.int32]
    """The most likely tokens, best first."""
    top_logprobs_QK: npt.NDArray[np.float32]


class SequencesRefused(Exception):
    """A runner refuses sequences of a batch for what they bring themselves. It computed nothing of the batch."""

    def __init__(self, indices: list[int], reason: str) -> None:
        super().__init__(reason)
        self.indices = indices
        """Indices into the batch's sequences, at least one."""


class StageLost(Exception):
    """A stage of a split model is gone, or sends what it can't have computed: the replica can't go on."""

    def __init__(self, message: str, reason: LLMOSError | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        """The error that the stage reported; None if it reported none."""


class Runner(Protocol):
    """Computes logits and owns the KV cache."""

    spec: DecoderSpec
    num_blocks: int
    """Blocks in the KV cache; block ids are 0 to num_blocks - 1."""
    num_states: int
    """Sequences of a recurrent model whose states it has room for: those of the indices 0 to num_states - 1."""
    num_snapshots: int
    """Snapshots of states that it has room for beside these, with the indices behind them."""

    def forward(self, batch: Batch) -> npt.NDArray[np.float32]:
        """Write the batch into the KV cache and return logits_RV. The array is valid until the next call.

        Raises SequencesRefused if it can tell which sequences can't be computed.
        """
        ...

    def set_adapter(self, index: int, adapter: "Adapter | None") -> None:
        """Replace the adapter at an index from 0 to MAX_ADAPTERS - 1; None removes it."""
        ...

    def likeliest(self) -> Likeliest | None:
        """Return the largest logits of the last forward(), if the runner finds them on the way."""
        ...

    def scores(self) -> Scores | None:
        """Return the scores of the last forward()'s scored_rows; None if it had none."""
        ...


@runtime_checkable
class StepRunner(Protocol):
    """Computes several steps at once, in the order in which they began."""

    max_under_way: int
    """Steps that may have begun and not finished."""

    def begin(self, batch: Batch) -> None:
        """Start a step. Raises as forward() does; then it hasn't begun."""
        ...

    def finish(self) -> npt.NDArray[np.float32]:
        """Return logits_RV of the oldest step under way, valid until the next call of either."""
        ...


class OneAtATime:
    """A StepRunner of a Runner that computes one step after another."""

    max_under_way = 1

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._logits_RV: npt.NDArray[np.float32] | None = None

    def begin(self, batch: Batch) -> None:
        self._logits_RV = self._runner.forward(batch)

    def finish(self) -> npt.NDArray[np.float32]:
        logits_RV, self._logits_RV = self._logits_RV, None
        assert logits_RV is not None, "a step has begun"
        return logits_RV
