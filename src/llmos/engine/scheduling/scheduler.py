"""Decide what the next step computes. Knows tokens and blocks; knows no text, no logits.

    waiting   hold no blocks; `turns` says who is next
    running   hold blocks; each decodes, or prefills in chunks

New requests join and finished ones leave between any two steps.

Why everybody's turn comes: Of those who run, the oldest is never preempted, is in every step (in the background: in one
of several), and may take any other's blocks; so it ends. Whoever is next by turns and lacks blocks lets nobody pass, so
the blocks of those who end come together for it; and turns put nobody off for ever. So the oldest of all gets in and
ends; then the next one is the oldest. To wait for a prefix changes nothing of this: only one that runs is waited
for, and that waits for nobody. A place is taken for somebody else's turn only from whom that turn comes before, and who
said something since it was taken last; so it doesn't come back at once, and each of them gets on.
"""

from llmos.engine.config import EngineConfig
from llmos.engine.messages import BACKGROUND_PRIORITY
from llmos.engine.runner import BLOCK_SIZE
from llmos.engine.scheduling.kv_cache import KVCache, blocks_for
from llmos.engine.scheduling.plan import Plan
from llmos.engine.scheduling.prefix_cache import Node
from llmos.engine.scheduling.sequence import Sequence, by_arrival
from llmos.engine.scheduling.turns import Turns

STEPS_PER_BACKGROUND_STEP = 8
"""Beside others, what runs in the background decodes in one of so many steps: a row costs little, many cost a lot."""


class Scheduler:
    def __init__(self, config: EngineConfig, num_blocks: int, context_length: int) -> None:
        assert context_length <= num_blocks * BLOCK_SIZE, "one sequence alone must always fit"
        self._max_batched_tokens = config.max_batched_tokens
        self._max_prefill_tokens = config.max_prefill_tokens
        self._shares_prefixes = config.prefix_cache
        self.kv = KVCache(
            num_blocks,
            max_tables=config.max_sequences,
            max_blocks_per_table=blocks_for(context_length),
            keeps_unused=config.prefix_cache,
        )
        self.running: list[Sequence] = []
        self.waiting: Turns[Sequence] = Turns()
        self.num_preemptions = 0
        self._num_arrived = 0
        self._stuck: Sequence | None = None
        """Whose turn it was in the last step, but for room."""

    @property
    def has_work(self) -> bool:
        return bool(self.running or self.waiting)

    def add(self, sequence: Sequence) -> None:
        self._num_arrived += 1
        sequence.arrival = self._num_arrived
        self.waiting.enter(sequence)

    def remove(self, sequence: Sequence, *, is_sound: bool = True) -> None:
        """Take the sequence out, finished or not. Its blocks are free when this returns; what was computed stays in the
        prefix cache, unless it is not sound."""
        if sequence is self._stuck:
            self._stuck = None
        if sequence.table is None:
            self.waiting.withdraw(sequence)
        else:
            self.running.remove(sequence)
            self._release(sequence, is_sound=is_sound)
        self.waiting.leave(sequence)

    def schedule(self) -> Plan:
        """Return the next step: a token for everyone who decodes, then chunks of prompts into what the budget leaves.

        The plan is empty only where there is no work.
        """
        self.waiting.step += 1
        self._make_room()
        self._make_way()
        plan = Plan()
        decoding: list[Sequence] = []
        prefilling: list[Sequence] = []
        for sequence in self.running:
            is_decoding = sequence.num_computed + 1 == len(sequence.tokens)
            (decoding if is_decoding else prefilling).append(sequence)
        decoding = self._awake(decoding)
        self._plan_decodes(plan, decoding, has_prompts=bool(prefilling or self.waiting))
        room = self._max_batched_tokens - plan.num_tokens
        if decoding:
            room = min(room, self._max_prefill_tokens)
        self._admit(prefilling, room)
        for sequence, count in share_out(prefilling, room).items():
            if count:
                plan.add(sequence, count)
        return plan

    def settle(self, plan: Plan) -> None:
        """The plan was computed: what it brought lies in the KV cache now, and others may begin with it."""
        for sequence, count in zip(plan.sequences, plan.counts, strict=True):
            # A draft's tokens count when the model has said them, too.
            sequence.num_computed = min(sequence.num_computed + count, len(sequence.tokens))
            assert sequence.table is not None
            if sequence.num_computed >= (sequence.table.num_computed_blocks + 1) * BLOCK_SIZE:
                self.kv.settle(sequence.table, sequence.tokens, sequence.num_computed)
            self.waiting.charge(sequence, sequence.num_computed)
            if sequence.num_computed == len(sequence.tokens):
                sequence.is_resuming = False

    def check_invariants(self) -> None:
        """Assert that blocks, prefixes and queues agree with each other."""
        self.kv.check_invariants()
        self.waiting.check_invariants()
        assert self.kv.num_open == len(self.running)
        for sequence in self.running:
            table = sequence.table
            assert table is not None
            assert sequence.num_computed <= table.capacity, "a token was computed without a place"
            assert sequence.num_computed < len(sequence.tokens), "a sequence runs with nothing to compute"
            assert table.num_computed_blocks * BLOCK_SIZE <= sequence.num_computed, "a block is shared too early"
            assert table.salt == self._salt(sequence)
            spelled = [token for node in table.nodes for token in node.tokens]
            assert spelled == sequence.tokens[: len(spelled)], "a block holds other tokens"
        for sequence in self.waiting:
            assert sequence.table is None
            assert sequence.num_computed == 0
        everyone = [*self.running, *self.waiting]
        assert len({id(sequence) for sequence in everyone}) == len(everyone), "a sequence is queued twice"

    def _make_room(self) -> None:
        """Give everyone who decodes room for its next token, oldest first; where blocks ran out, preempt."""
        needy = [s for s in self.running if s.table is not None and len(s.tokens) > s.table.capacity]
        for sequence in sorted(needy, key=by_arrival):
            # It may have been preempted itself, for somebody before it or just now.
            while sequence.table is not None and not self.kv.extend(sequence.table, len(sequence.tokens)):
                others = self._others()
                assert others, "one sequence alone does not fit"
                self._preempt(others)

    def _make_way(self) -> None:
        """Where somebody is next but for room, one that runs in the background waits again; where of its caller nobody
        runs, one of several of another caller."""
        stuck, self._stuck = self._stuck, None
        if stuck is None:
            return
        has_none = not self.waiting.num_running(stuck.caller)
        self._preempt(
            [
                sequence
                for sequence in self._others()
                if (
                    sequence.priority == BACKGROUND_PRIORITY < stuck.priority
                    or (
                        has_none
                        and self.waiting.num_running(sequence.caller) > 1
                        and sequence.priority <= stuck.priority
                    )
                )
                and not sequence.is_resuming
                and self.waiting.is_before(stuck, sequence)
            ]
        )

    def _awake(self, decoding: list[Sequence]) -> list[Sequence]:
        """Leave those in the background out of most steps while anybody else runs. Their prompts are computed all the
        same: others may wait for the beginnings."""
        is_alone = all(sequence.priority == BACKGROUND_PRIORITY for sequence in self.running)
        if is_alone or self.waiting.step % STEPS_PER_BACKGROUND_STEP == 0:
            return decoding
        return [sequence for sequence in decoding if sequence.priority > BACKGROUND_PRIORITY]

    def _others(self) -> list[Sequence]:
        """Everyone who runs but the oldest."""
        oldest = min(self.running, key=by_arrival, default=None)
        return [sequence for sequence in self.running if sequence is not oldest]

    def _preempt(self, candidates: list[Sequence]) -> None:
        """Let one wait again: of the lowest priority, and rather not all that a caller has, whoever loses least; the
        youngest of equal ones."""
        if not candidates:
            return
        victim = min(
            candidates,
            key=lambda s: (s.priority, self.waiting.num_running(s.caller) == 1, self._num_lost(s), -s.arrival),
        )
        self.running.remove(victim)
        self._release(victim)
        victim.draft = []
        victim.is_resuming = True
        self.waiting.wait(victim)
        self.num_preemptions += 1

    def _num_lost(self, sequence: Sequence) -> int:
        """Return the tokens that it would compute anew if somebody took all its blocks; those that it shares with
        others who run can't be taken."""
        assert sequence.table is not None
        return sequence.num_computed - self.kv.num_shared(sequence.table) * BLOCK_SIZE

    def _plan_decodes(self, plan: Plan, decoding: list[Sequence], *, has_prompts: bool) -> None:
        """Plan a token for each, and their drafts as far as these take nothing from anybody: no preemption, no block
        that somebody who runs may need next, and half of the budget that is left where there are prompts."""
        room = self._max_batched_tokens - len(decoding)
        if has_prompts:
            room //= 2
        for sequence in decoding:
            if sequence.draft:
                if len(sequence.draft) <= room and self._fits_draft(sequence):
                    room -= len(sequence.draft)
                else:
                    sequence.draft = []
            plan.add(sequence, 1 + len(sequence.draft))

    def _fits_draft(self, sequence: Sequence) -> bool:
        table, length = sequence.table, len(sequence.tokens) + len(sequence.draft)
        assert table is not None
        if length <= table.capacity:
            return True
        num_needed = blocks_for(length) - len(table.blocks)
        if blocks_for(length) > self.kv.max_blocks_per_table or num_needed + len(self.running) > self.kv.num_free:
            return False
        return self.kv.extend(table, length)

    def _admit(self, prefilling: list[Sequence], room: int) -> None:
        """Move those whose turn it is to the running ones, and to `prefilling`, as long as they'd get tokens now."""
        if not self.waiting or room <= 0:
            return
        refused: list[tuple[int, int, int]] = []
        for sequence in self.waiting.in_order():
            if sequence.awaited is not None and sequence.awaited.is_awaited:
                continue
            if not self.kv.has_row:
                self._stuck = sequence
                return
            nodes, sequence.awaited = self.kv.match(self._salt(sequence), sequence.tokens, sequence.path)
            if sequence.awaited is not None:
                continue  # somebody computes what it begins with: wait, rather than compute it twice
            if not self._fits(sequence, nodes):
                self._stuck = sequence
                return
            # By these it is shared out; so who is behind somebody refused in all of them is refused, too.
            claim = (-sequence.priority, len(sequence.tokens) - len(nodes) * BLOCK_SIZE, sequence.arrival)
            if any(all(mine >= other for mine, other in zip(claim, each, strict=True)) for each in refused):
                continue
            sequence.num_computed = len(nodes) * BLOCK_SIZE
            if share_out([*prefilling, sequence], room)[sequence]:
                self._start(sequence, nodes)
                prefilling.append(sequence)
            else:
                sequence.num_computed = 0
                refused.append(claim)

    def _fits(self, sequence: Sequence, nodes: list[Node]) -> bool:
        """Whether there are blocks for all its tokens, so that a prefill never stops halfway; and one more for everyone
        who runs, so that the newcomer is not preempted at once."""
        num_needed = blocks_for(len(sequence.tokens)) - len(nodes)
        num_unused = self.kv.num_unused_of(nodes)
        return not self.running or num_needed + num_unused + len(self.running) <= self.kv.num_free

    def _start(self, sequence: Sequence, nodes: list[Node]) -> None:
        self.waiting.take(sequence)
        num_cached = sequence.num_computed = len(nodes) * BLOCK_SIZE
        if not sequence.num_charged:
            sequence.num_cached_tokens = num_cached
        sequence.num_charged = max(sequence.num_charged, num_cached)
        self.waiting.charge(sequence, len(sequence.tokens))
        table = sequence.table = self.kv.open(self._salt(sequence))
        self.kv.adopt(table, nodes)
        fits = self.kv.extend(table, len(sequence.tokens))
        assert fits, "a sequence longer than the whole cache was accepted"
        self.kv.promise(table, sequence.tokens)
        self.running.append(sequence)

    def _release(self, sequence: Sequence, *, is_sound: bool = True) -> None:
        assert sequence.table is not None
        if is_sound:
            self.kv.settle(sequence.table, sequence.tokens, sequence.num_computed)
        self.kv.close(sequence.table, is_sound=is_sound)
        sequence.table = None
        sequence.num_computed = 0

    def _salt(self, sequence: Sequence) -> str:
        # Without a prefix cache only the choices of one request share their prompt.
        return sequence.salt if self._shares_prefixes else sequence.request_id


def share_out(prefilling: list[Sequence], room: int) -> dict[Sequence, int]:
    """Return how many tokens of its prompt each computes, `room` in all.

    One half goes to the oldest, so that each prompt gets on; the other half to those who are nearest to their first
    token, so that a long prompt doesn't hold up the short ones behind it.
    """
    counts: dict[Sequence, int] = {}
    half = room - room // 2
    room -= half
    for sequence in sorted(prefilling, key=by_arrival):
        count = counts[sequence] = min(half, len(sequence.tokens) - sequence.num_computed)
        half -= count
    room += half
    left = {sequence: len(sequence.tokens) - sequence.num_computed - count for sequence, count in counts.items()}
    for sequence in sorted(prefilling, key=lambda s: (-s.priority, left[s], s.arrival)):
        count = min(room, left[sequence])
        counts[sequence] += count
        room -= count
    return counts
