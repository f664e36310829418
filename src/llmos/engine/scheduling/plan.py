"""The plan of one step: the sequences that it computes, and how many tokens of each."""

from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np

from llmos.engine.runner import Batch
from llmos.engine.scheduling.kv_cache import KVCache
from llmos.engine.scheduling.sequence import Choice, Sequence


@dataclass(frozen=True, slots=True)
class StateCopy:
    """The recurrent state of a sequence of the plan, which the step copies on its way."""

    row: int
    """Index of the sequence in the plan."""
    position: int
    """Tokens of the sequence that the state covers: whole blocks."""
    index: int
    """The snapshot that it becomes."""


@dataclass(slots=True)
class Plan:
    """The sequences of a step, in the order of their rows."""

    sequences: list[Sequence] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    """Tokens of each sequence: its own, then those of its draft."""
    num_tokens: int = 0
    copies: list[StateCopy] = field(default_factory=list)
    """The copies of states to make, in order of priority."""

    def add(self, sequence: Sequence, count: int) -> None:
        self.sequences.append(sequence)
        self.counts.append(count)
        self.num_tokens += count

    def sampled(self) -> list[tuple[Choice, list[int]]]:
        """Return the choices whose last token is in this step, so that they get a next one, with their drafts.

        Each has 1 + len(draft) rows of logits: behind its last token, and behind each token of the draft.
        """
        sampled = []
        for s, count in zip(self.sequences, self.counts, strict=True):
            num_drafted = s.num_computed + count - len(s.tokens)
            if isinstance(s, Choice) and num_drafted >= 0:
                sampled.append((s, s.draft[:num_drafted]))
        return sampled

    def scored(self) -> list[tuple[Sequence, range]]:
        """Return the sequences with tokens that are scored behind rows of this step, and the indices of these tokens.

        Their scores are in this order."""
        scored = []
        for s, count in zip(self.sequences, self.counts, strict=True):
            if indices := s.scored.up_to(s.num_computed + count):
                scored.append((s, indices))
        return scored

    def computed(self) -> list[Sequence]:
        """Return the sequences that end with this step: all their tokens are computed, and nothing continues them."""
        return [
            s
            for s, count in zip(self.sequences, self.counts, strict=True)
            if not isinstance(s, Choice) and s.num_computed + count == len(s.tokens)
        ]

    def batch(self, kv: KVCache) -> Batch:
        """Return the plan, which must not be empty, as arrays."""
        sequences, counts = self.sequences, self.counts
        tables = [s.table for s in sequences if s.table is not None]
        assert len(tables) == len(sequences)
        tokens: list[int] = []
        logit_rows: list[int] = []
        scored_rows: list[int] = []
        scored_tokens: list[int] = []
        for s, count in zip(sequences, counts, strict=True):
            indices = s.scored.up_to(s.num_computed + count)
            scored_rows += [len(tokens) + s.scored.positions[i] - s.num_computed for i in indices]
            scored_tokens += s.scored.tokens[indices.start : indices.stop]
            tokens += s.tokens[s.num_computed : s.num_computed + count]
            num_drafted = s.num_computed + count - len(s.tokens)
            if isinstance(s, Choice) and num_drafted >= 0:
                tokens += s.draft[:num_drafted]
                logit_rows += range(len(tokens) - 1 - num_drafted, len(tokens))
        width = max([len(table.blocks) for table in tables])
        has_adapters = any(s.adapter_index >= 0 for s in sequences)
        rows = [table.row for table in tables]
        copies = sorted(
            (each.row, each.position - sequences[each.row].num_computed, each.index) for each in self.copies
        )
        restored = [s.restored for s in sequences]
        return Batch(
            tokens=np.array(tokens, np.int32),
            starts=np.array([0, *accumulate(counts)], np.int32),
            context_lengths=np.array([s.num_computed for s in sequences], np.int32),
            block_tables=kv.tables[:, :width].take(rows, axis=0),
            logit_rows=np.array(logit_rows, np.int32),
            adapters=np.array([s.adapter_index for s in sequences], np.int32) if has_adapters else None,
            states=np.array(rows, np.int32) if kv.has_states else None,
            restored=np.array(restored, np.int32) if max(restored) >= 0 else None,
            snapshots=np.array(copies, np.int32) if copies else None,
            scored_rows=np.array(scored_rows, np.int32) if scored_rows else None,
            scored_tokens=np.array(scored_tokens, np.int32) if scored_rows else None,
            num_top=max(s.scored.num_top for s in sequences) if scored_rows else 0,
        )
