"""What one step computes: which sequences, and how many tokens of each."""

from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np

from llmos.engine.kv_cache import KVCache
from llmos.engine.runner import Batch
from llmos.engine.sequence import Sequence


@dataclass(slots=True)
class Plan:
    sequences: list[Sequence] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    """Tokens that each sequence brings."""
    num_tokens: int = 0

    def add(self, sequence: Sequence, count: int) -> None:
        self.sequences.append(sequence)
        self.counts.append(count)
        self.num_tokens += count

    def sampled(self) -> list[Sequence]:
        """The sequences whose last token is in this step: they get a next one."""
        return [
            s for s, count in zip(self.sequences, self.counts, strict=True) if s.num_computed + count == len(s.tokens)
        ]

    def batch(self, kv: KVCache) -> Batch:
        """Return the plan as arrays. Only a plan that has something in it makes a batch."""
        sequences, counts = self.sequences, self.counts
        tables = [s.table for s in sequences if s.table is not None]
        assert len(tables) == len(sequences)
        tokens: list[int] = []
        logit_rows: list[int] = []
        for s, count in zip(sequences, counts, strict=True):
            end = s.num_computed + count
            tokens += s.tokens[s.num_computed : end]
            if end == len(s.tokens):
                logit_rows.append(len(tokens) - 1)
        width = max([len(table.blocks) for table in tables])
        return Batch(
            tokens=np.array(tokens, np.int32),
            starts=np.array([0, *accumulate(counts)], np.int32),
            context_lengths=np.array([s.num_computed for s in sequences], np.int32),
            block_tables=kv.tables[:, :width].take([table.row for table in tables], axis=0),
            logit_rows=np.array(logit_rows, np.int32),
        )
