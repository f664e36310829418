"""Decide what the next step computes. Knows tokens and blocks; knows no text, no logits.

    running   [oldest ........ youngest]     hold blocks; each decodes, or prefills in chunks
    waiting   [oldest ........ youngest]     hold none; every one is younger than all that run

New requests join and finished ones leave between any two steps. Blocks that run out are taken from the youngest,
which goes back to the head of the queue; so the oldest always gets on, and everybody's turn comes.
"""

from collections import deque

from llmos.engine.config import EngineConfig
from llmos.engine.kv_cache import KVCache, blocks_for
from llmos.engine.plan import Plan
from llmos.engine.runner import BLOCK_SIZE
from llmos.engine.sequence import Sequence


class Scheduler:
    def __init__(self, config: EngineConfig, num_blocks: int, context_length: int) -> None:
        assert context_length <= num_blocks * BLOCK_SIZE, "one sequence alone must always fit"
        self._max_batched_tokens = config.max_batched_tokens
        self.kv = KVCache(num_blocks, max_tables=config.max_sequences, max_blocks_per_table=blocks_for(context_length))
        self.running: list[Sequence] = []
        self.waiting: deque[Sequence] = deque()
        self.num_preemptions = 0

    @property
    def has_work(self) -> bool:
        return bool(self.running or self.waiting)

    def add(self, sequence: Sequence) -> None:
        self.waiting.append(sequence)

    def remove(self, sequence: Sequence) -> None:
        """Take the sequence out, finished or not. Its blocks are free when this returns."""
        if sequence.table is None:
            self.waiting.remove(sequence)
        else:
            self.running.remove(sequence)
            self._release(sequence)

    def schedule(self) -> Plan:
        """Return the next step: a token for everyone who decodes, then chunks of prompts into what the budget leaves.

        The plan is empty only where there is no work.
        """
        plan = Plan()
        for sequence in self._plan_decodes(plan):
            self._plan_chunk(plan, sequence)
        while self._admit_next(plan):
            pass
        return plan

    def settle(self, plan: Plan) -> None:
        """The plan was computed: what it brought lies in the KV cache now."""
        for sequence, count in zip(plan.sequences, plan.counts, strict=True):
            # A draft's tokens count when the model has said them, too.
            sequence.num_computed = min(sequence.num_computed + count, len(sequence.tokens))

    def check_invariants(self) -> None:
        """Assert that blocks and queues agree with each other."""
        self.kv.check_invariants()
        assert self.kv.num_open == len(self.running)
        for sequence in self.running:
            assert sequence.table is not None
            assert sequence.num_computed <= sequence.table.capacity, "a token was computed without a place"
            assert sequence.num_computed < len(sequence.tokens), "a sequence runs with nothing to compute"
        for sequence in self.waiting:
            assert sequence.table is None
            assert sequence.num_computed == 0
        everyone = [*self.running, *self.waiting]
        assert len({id(sequence) for sequence in everyone}) == len(everyone), "a sequence is queued twice"

    def _plan_decodes(self, plan: Plan) -> list[Sequence]:
        """Plan a token for every sequence that decodes, oldest first; return those that still prefill."""
        prefilling = []
        position = 0
        # The list shrinks from its end while we walk it: only sequences that are not planned yet are preempted.
        while position < len(self.running):
            sequence = self.running[position]
            position += 1
            table, length = sequence.table, len(sequence.tokens)
            assert table is not None
            if sequence.num_computed + 1 < length:
                prefilling.append(sequence)
            elif length <= table.capacity or self._make_room(sequence):
                if sequence.draft:
                    self._fit_draft(plan, sequence, num_behind=len(self.running) - position)
                plan.add(sequence, 1 + len(sequence.draft))
        return prefilling

    def _fit_draft(self, plan: Plan, sequence: Sequence, num_behind: int) -> None:
        """Drop a draft that would take the token of one of the `num_behind` sequences, or somebody's block."""
        assert sequence.table is not None
        length = len(sequence.tokens) + len(sequence.draft)
        num_tokens = plan.num_tokens + 1 + len(sequence.draft) + num_behind
        num_blocks = max(0, blocks_for(length) - len(sequence.table.blocks))
        if num_tokens > self._max_batched_tokens or (num_blocks and num_blocks + num_behind > self.kv.num_free):
            sequence.draft = []
        else:
            self.kv.extend(sequence.table, length)

    def _plan_chunk(self, plan: Plan, sequence: Sequence) -> None:
        count = min(len(sequence.tokens) - sequence.num_computed, self._max_batched_tokens - plan.num_tokens)
        if count:
            plan.add(sequence, count)

    def _admit_next(self, plan: Plan) -> bool:
        """Move the head of the queue to the running ones and plan its first chunk. False where that can't be now."""
        if not self.waiting or plan.num_tokens >= self._max_batched_tokens or not self.kv.has_row:
            return False
        sequence = self.waiting[0]
        source, num_shared = self._find_shared(sequence)
        if source is not None and source.num_computed < num_shared * BLOCK_SIZE:
            return False  # the prompt that it shares is being computed: wait, rather than compute it twice
        # All blocks of the prompt at once, so that a prefill never stops halfway; and one more for everyone who runs,
        # so that the newcomer is not preempted at once.
        num_needed = blocks_for(len(sequence.tokens)) - num_shared
        if num_needed + len(self.running) > self.kv.num_free and self.running:
            return False
        self.waiting.popleft()
        sequence.table = self.kv.open()
        if source is not None and source.table is not None:
            self.kv.share(source.table, sequence.table, num_shared)
            sequence.num_computed = num_shared * BLOCK_SIZE
        fits = self.kv.extend(sequence.table, len(sequence.tokens))
        assert fits, "a sequence longer than the whole cache was accepted"
        self.running.append(sequence)
        self._plan_chunk(plan, sequence)
        return True

    def _find_shared(self, sequence: Sequence) -> tuple[Sequence | None, int]:
        """Return a running choice of the same request, and the blocks of the prompt that both can use: the full ones,
        but for the last token, which everyone computes for its logits."""
        num_blocks = (sequence.num_prompt_tokens - 1) // BLOCK_SIZE
        if num_blocks:
            for sibling in sequence.siblings:
                if sibling.table is not None:
                    return sibling, num_blocks
        return None, 0

    def _make_room(self, sequence: Sequence) -> bool:
        """Give the sequence room for its next token, preempting the youngest; False where that is itself."""
        assert sequence.table is not None
        while not self.kv.extend(sequence.table, len(sequence.tokens)):
            victim = self.running.pop()
            self._release(victim)
            self.waiting.appendleft(victim)
            self.num_preemptions += 1
            if victim is sequence:
                return False
        return True

    def _release(self, sequence: Sequence) -> None:
        assert sequence.table is not None
        self.kv.close(sequence.table)
        sequence.table = None
        sequence.num_computed = 0
