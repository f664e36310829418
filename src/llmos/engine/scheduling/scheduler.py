"""Decides what the next step computes. Knows tokens and blocks; knows no text, no logits.

    waiting   hold no blocks; the FairQueue says who is next
    running   hold blocks; each decodes, or prefills in chunks

New requests join and finished ones leave between any two steps.

Why every request finishes: the oldest running sequence is never preempted, is in every step (in the background: in one
of several), and may take the blocks of any other; so it finishes. If the next waiting sequence lacks blocks, none may
overtake it, so it gets the blocks that others free; and the FairQueue delays none for ever. So the oldest sequence of
all is admitted and finishes, and then the next one is the oldest. Waiting for a prefix changes none of this: only
running sequences are waited for, and these wait for nobody. A sequence is preempted in favour of a waiting one only if
that one goes before it in the queue, and only if it has produced a token since its last preemption; so two sequences
can't displace each other without progress.
"""

import time

from llmos.engine.config import EngineConfig
from llmos.engine.messages import BACKGROUND_PRIORITY
from llmos.engine.runner import BLOCK_SIZE
from llmos.engine.scheduling.fair_queue import FairQueue, by_arrival
from llmos.engine.scheduling.kv_cache import KVCache, blocks_for
from llmos.engine.scheduling.plan import Plan
from llmos.engine.scheduling.prefix_cache import Node
from llmos.engine.scheduling.recurrent_states import RecurrentStates
from llmos.engine.scheduling.sequence import Choice, Sequence
from llmos.engine.scheduling.snapshots import Snapshots

ROWS_PER_GROUP = 8
"""Decoding sequences that are worth a plan of their own while others are under way. A step of fewer waits for weights
from memory, which each plan reads again (see speculate.py's costs)."""

TOKENS_PER_CHUNK = 128
"""Most prompt tokens of a plan where several are under way, so that a prompt's chunks are in all stages at once. The
kernels take as many rows through the weights together, so that larger chunks are hardly faster."""

STEPS_PER_BACKGROUND_STEP = 8
"""Beside other work, background sequences decode in one of so many steps: one row costs little, many cost a lot."""


class Scheduler:
    """Moves sequences between waiting and running, and plans each step: schedule(), run the plan, commit()."""

    def __init__(
        self,
        config: EngineConfig,
        num_blocks: int,
        context_length: int,
        *,
        snapshots: Snapshots | None = None,
        max_under_way: int = 1,
    ) -> None:
        """`snapshots`: room for those of a recurrent model, which has a state besides its blocks; None for others. A
        prefix is reused as far as they hold the state behind it. `max_under_way`: plans at once."""
        self._max_under_way = max_under_way
        assert context_length <= num_blocks * BLOCK_SIZE, "one sequence alone must always fit"
        self._max_batched_tokens = config.max_batched_tokens
        self._max_prefill_tokens = config.max_prefill_tokens
        self._can_share = snapshots is None or snapshots.count > 0
        self._shares_prefixes = config.prefix_cache and self._can_share
        self.kv = KVCache(
            num_blocks,
            max_tables=config.max_sequences,
            max_blocks_per_table=blocks_for(context_length),
            keeps_prefixes=self._shares_prefixes,
            snapshots=snapshots,
        )
        self._states = RecurrentStates(self.kv) if snapshots is not None else None
        self.running: list[Sequence] = []
        self.waiting: FairQueue[Sequence] = FairQueue()
        self.num_preemptions = 0
        self._num_arrived = 0
        self._blocked: Sequence | None = None
        """The sequence that was next in the last step and found no room."""

    @property
    def has_work(self) -> bool:
        return bool(self.running or self.waiting)

    def add(self, sequence: Sequence) -> None:
        """Queue a new sequence."""
        self._num_arrived += 1
        sequence.arrival = self._num_arrived
        self.waiting.add(sequence)

    def remove(self, sequence: Sequence, *, is_valid: bool = True) -> None:
        """Remove the sequence, finished or not, and free its blocks.

        `is_valid`: False if its blocks may hold wrong values, so that no other sequence may begin with them.
        """
        sequence.in_flight = None
        if sequence is self._blocked:
            self._blocked = None
        if sequence.table is None:
            self.waiting.remove(sequence)
        else:
            self.running.remove(sequence)
            self._free(sequence, is_valid=is_valid)
        self.waiting.finish(sequence)

    def schedule(self) -> Plan:
        """Return the next step: one token for each decoding sequence, then chunks of prompts with the rest of the
        budget. The plan is empty only if there is no work but that of the plans under way."""
        self.waiting.step += 1
        if self._states is not None:
            self._states.release()
        self._allocate_next_tokens()
        self._preempt_for_blocked()
        plan = Plan()
        decoding: list[Sequence] = []
        prefilling: list[Sequence] = []
        for sequence in self.running:
            if sequence.in_flight is None:
                (decoding if sequence.is_decoding else prefilling).append(sequence)
        decoding = self._without_resting(decoding)[: self._group_size(len(decoding))]
        self._plan_decodes(plan, decoding, has_prompts=bool(prefilling or self.waiting))
        budget = self._max_batched_tokens - plan.num_tokens
        if decoding:
            budget = min(budget, self._max_prefill_tokens)
        if self._max_under_way > 1:
            budget = min(budget, TOKENS_PER_CHUNK)
        self._admit(prefilling, budget)
        for sequence, count in split_prefill(prefilling, budget).items():
            if count:
                plan.add(sequence, count)
        if self._states is not None:
            self._states.plan(plan)
        return plan

    def commit(self, plan: Plan) -> None:
        """Record that the plan is computed before any later one: its tokens are scored, its full blocks are shared, and
        its callers are charged. Until finish(), the sequences that get a token from it are in no other."""
        for choice, _ in plan.sampled():
            choice.in_flight = plan
        for sequence, indices in plan.scored():
            sequence.scored.num_scored = indices.stop
        for sequence, count in zip(plan.sequences, plan.counts, strict=True):
            # A draft's tokens count only once the model has sampled them, too.
            sequence.num_computed = min(sequence.num_computed + count, len(sequence.tokens))
            assert sequence.table is not None
            if sequence.num_computed >= (sequence.table.num_computed_blocks + 1) * BLOCK_SIZE:
                self.kv.commit(sequence.table, sequence.tokens, sequence.num_computed)
            self.waiting.charge(sequence, sequence.num_computed)
        if self._states is not None:
            self._states.commit(plan)

    def finish(self, plan: Plan) -> None:
        """Record that the plan brings its tokens now. Sequences that were preempted meanwhile get none from it."""
        for sequence in plan.sequences:
            if sequence.in_flight is plan:
                sequence.in_flight = None
                sequence.is_resuming = False

    def take_back(self, plan: Plan) -> None:
        """Let the sequences that got no token from the plan begin again, with the blocks that are computed."""
        for sequence in plan.sequences:
            if sequence in self.running and sequence.num_computed == len(sequence.tokens):
                self._requeue(sequence)

    def check_invariants(self) -> None:
        """Assert that blocks, prefixes and queues agree with each other."""
        self.kv.check_invariants()
        if self._states is not None:
            self._states.check_invariants(self.running)
        self.waiting.check_invariants()
        assert self.kv.num_open == len(self.running)
        for sequence in self.running:
            table = sequence.table
            assert table is not None
            assert sequence.num_computed <= table.capacity, "a token was computed without a position in the cache"
            is_done = sequence.num_computed == len(sequence.tokens)
            waits = sequence.in_flight is not None or not isinstance(sequence, Choice)
            assert not is_done or waits, "a sequence runs with nothing to compute"
            assert is_done or sequence.in_flight is None, "a sequence that waits for a token computes"
            assert table.num_computed_blocks * BLOCK_SIZE <= sequence.num_computed, "a block is shared too early"
            assert table.salt == self._salt(sequence)
            cached = [token for node in table.nodes for token in node.tokens]
            assert cached == sequence.tokens[: len(cached)], "a block holds other tokens"
        for sequence in self.waiting:
            assert sequence.table is None
            assert sequence.num_computed == 0
            assert sequence.restored < 0, "a waiting sequence has a snapshot"
            assert sequence.in_flight is None, "a waiting sequence is in a plan"
        everyone = [*self.running, *self.waiting]
        assert len({id(sequence) for sequence in everyone}) == len(everyone), "a sequence is queued twice"

    def _allocate_next_tokens(self) -> None:
        """Give each decoding sequence room for its next token, oldest first; preempt others if blocks run out."""
        growing = [s for s in self.running if s.table is not None and len(s.tokens) > s.table.capacity]
        for sequence in sorted(growing, key=by_arrival):
            # It may have been preempted itself, in favour of an older one or just now.
            while sequence.table is not None and not self.kv.allocate(sequence.table, len(sequence.tokens)):
                candidates = self._preemptible()
                assert candidates, "one sequence alone does not fit"
                self._preempt(candidates)

    def _preempt_for_blocked(self) -> None:
        """If the next waiting sequence found no room, preempt a background sequence; or, if its caller has nothing
        running, a sequence of a caller that has several."""
        blocked, self._blocked = self._blocked, None
        if blocked is None:
            return
        has_none = not self.waiting.num_running(blocked.caller)
        self._preempt(
            [
                sequence
                for sequence in self._preemptible()
                if (
                    sequence.priority == BACKGROUND_PRIORITY < blocked.priority
                    or (
                        has_none
                        and self.waiting.num_running(sequence.caller) > 1
                        and sequence.priority <= blocked.priority
                    )
                )
                and not sequence.is_resuming
                and self.waiting.goes_before(blocked, sequence)
            ]
        )

    def _without_resting(self, decoding: list[Sequence]) -> list[Sequence]:
        """Leave background sequences out of most steps while anything else runs. Their prompts are computed all the
        same, since others may wait for a common prefix."""
        is_alone = all(sequence.priority == BACKGROUND_PRIORITY for sequence in self.running)
        if is_alone or self.waiting.step % STEPS_PER_BACKGROUND_STEP == 0:
            return decoding
        return [sequence for sequence in decoding if sequence.priority > BACKGROUND_PRIORITY]

    def _group_size(self, num_ready: int) -> int:
        """Return how many decoding sequences a plan takes, `num_ready` of which wait for one."""
        if self._max_under_way == 1:
            return num_ready
        num_decoding = num_ready + sum(sequence.in_flight is not None for sequence in self.running)
        num_groups = max(1, min(self._max_under_way, num_decoding // ROWS_PER_GROUP))
        return -(-num_decoding // num_groups)

    def _preemptible(self) -> list[Sequence]:
        """Return all running sequences but the oldest."""
        oldest = min(self.running, key=by_arrival, default=None)
        return [sequence for sequence in self.running if sequence is not oldest]

    def _preempt(self, candidates: list[Sequence]) -> None:
        """Requeue one candidate: of the lowest priority; then rather not the only one of its caller; then the one that
        loses the fewest computed tokens; then the youngest."""
        if not candidates:
            return
        victim = min(
            candidates,
            key=lambda s: (s.priority, self.waiting.num_running(s.caller) == 1, self._num_lost(s), -s.arrival),
        )
        self._requeue(victim)
        self.num_preemptions += 1

    def _requeue(self, sequence: Sequence) -> None:
        self.running.remove(sequence)
        self._free(sequence)
        sequence.draft = []
        sequence.in_flight = None
        sequence.is_resuming = True
        self.waiting.requeue(sequence)

    def _num_lost(self, sequence: Sequence) -> int:
        """Return how many tokens the sequence would have to compute again if all its blocks were reused. Blocks that
        it shares with running sequences are not lost, as far as the state behind them is kept."""
        assert sequence.table is not None
        num_kept = self.kv.num_shared(sequence.table)
        if self._states is not None:
            num_kept = self._states.num_kept(sequence.table, num_kept)
        return sequence.num_computed - num_kept * BLOCK_SIZE

    def _plan_decodes(self, plan: Plan, decoding: list[Sequence], *, has_prompts: bool) -> None:
        """Plan a token for each, and drafts as far as they take nothing from others: they preempt nobody, leave a block
        for each running sequence, and leave half of the remaining budget to prompts if there are any."""
        budget = self._max_batched_tokens - len(decoding)
        if has_prompts:
            budget //= 2
        for sequence in decoding:
            if sequence.draft:
                if len(sequence.draft) <= budget and self._can_append_draft(sequence):
                    budget -= len(sequence.draft)
                else:
                    sequence.draft = []
            plan.add(sequence, 1 + len(sequence.draft))

    def _can_append_draft(self, sequence: Sequence) -> bool:
        """Allocate the blocks of the draft; return whether it fits."""
        table, length = sequence.table, len(sequence.tokens) + len(sequence.draft)
        assert table is not None
        if length <= table.capacity:
            return True
        num_needed = blocks_for(length) - len(table.blocks)
        if blocks_for(length) > self.kv.max_blocks_per_table or num_needed + len(self.running) > self.kv.num_free:
            return False
        return self.kv.allocate(table, length)

    def _admit(self, prefilling: list[Sequence], budget: int) -> None:
        """Start the waiting sequences that are next, as long as each gets tokens of this step's prefill budget. Started
        ones are added to `prefilling`."""
        if not self.waiting or budget <= 0:
            return
        refused: list[tuple[int, int, int]] = []
        for sequence in self.waiting.in_order():
            if sequence.pending_node is not None and sequence.pending_node.is_awaited:
                continue
            if not self.kv.has_row:
                self._blocked = sequence
                return
            nodes, sequence.pending_node = self.kv.match_prefix(
                self._salt(sequence), sequence.tokens, sequence.num_reusable, sequence.prefix_path
            )
            if self._states is not None:
                nodes, sequence.pending_node = self._states.match(sequence, nodes)
            if sequence.pending_node is not None:
                continue  # a running sequence computes what comes next: wait for it rather than compute it twice
            if not self._can_allocate(sequence, nodes):
                self._blocked = sequence
                return
            # split_prefill() sorts by these. A sequence that is behind a refused one in all of them is refused, too.
            rank = (-sequence.priority, len(sequence.tokens) - len(nodes) * BLOCK_SIZE, sequence.arrival)
            if any(all(mine >= other for mine, other in zip(rank, each, strict=True)) for each in refused):
                continue
            sequence.num_computed = len(nodes) * BLOCK_SIZE
            if split_prefill([*prefilling, sequence], budget)[sequence]:
                self._start(sequence, nodes)
                prefilling.append(sequence)
            else:
                sequence.num_computed = 0
                refused.append(rank)

    def _can_allocate(self, sequence: Sequence, nodes: list[Node]) -> bool:
        """Return whether there are blocks for all its tokens, so that a prefill never stops halfway, and one more for
        each running sequence, so that the new one is not preempted at once."""
        num_needed = blocks_for(len(sequence.tokens)) - len(nodes)
        num_evictable = self.kv.num_evictable_of(nodes)
        return not self.running or num_needed + num_evictable + len(self.running) <= self.kv.num_free

    def _start(self, sequence: Sequence, nodes: list[Node]) -> None:
        self.waiting.take(sequence)
        num_cached = sequence.num_computed = len(nodes) * BLOCK_SIZE
        if not sequence.num_charged:
            sequence.num_cached_tokens = num_cached
            sequence.scheduled_at = time.perf_counter()
        sequence.num_charged = max(sequence.num_charged, num_cached)
        self.waiting.charge(sequence, len(sequence.tokens))
        table = sequence.table = self.kv.open(self._salt(sequence))
        self.kv.adopt(table, nodes)
        if self._states is not None:
            self._states.start(sequence, nodes)
        fits = self.kv.allocate(table, len(sequence.tokens))
        assert fits, "a sequence longer than the whole cache was accepted"
        self.kv.mark_pending(table, sequence.tokens)
        self.running.append(sequence)

    def _free(self, sequence: Sequence, *, is_valid: bool = True) -> None:
        assert sequence.table is not None
        if self._states is not None:
            self._states.end(sequence)
        if is_valid:
            self.kv.commit(sequence.table, sequence.tokens, sequence.num_computed)
        self.kv.close(sequence.table, is_valid=is_valid)
        sequence.table = None
        sequence.num_computed = 0

    def _salt(self, sequence: Sequence) -> str:
        if self._shares_prefixes:
            return sequence.salt
        # Without a prefix cache, only the choices of one request share their prompt; without snapshots, not even these.
        return sequence.request_id if self._can_share else f"{sequence.request_id}#{sequence.arrival}"


def split_prefill(prefilling: list[Sequence], budget: int) -> dict[Sequence, int]:
    """Return how many prompt tokens each sequence computes, at most `budget` in all.

    One half goes to the oldest, so that every prompt makes progress. The other half goes to the highest priority, and
    in it to those that are nearest to their first token, so that a long prompt doesn't hold up short ones behind it.
    """
    counts: dict[Sequence, int] = {}
    half = budget - budget // 2
    budget -= half
    for sequence in sorted(prefilling, key=by_arrival):
        count = counts[sequence] = min(half, len(sequence.tokens) - sequence.num_computed)
        half -= count
    budget += half
    left = {sequence: len(sequence.tokens) - sequence.num_computed - count for sequence, count in counts.items()}
    for sequence in sorted(prefilling, key=lambda s: (-s.priority, left[s], s.arrival)):
        count = min(budget, left[sequence])
        counts[sequence] += count
        budget -= count
    return counts
