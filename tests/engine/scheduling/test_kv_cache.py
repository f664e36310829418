"""Blocks are never lost or allocated twice, and a shared one is freed with its last reference."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from llmos.engine.scheduling.kv_cache import KVCache, blocks_for


def make(num_blocks=8, tables=3):
    return KVCache(num_blocks, max_tables=tables, max_blocks_per_table=num_blocks)


@pytest.mark.parametrize(("positions", "blocks"), [(0, 0), (1, 1), (16, 1), (17, 2), (32, 2), (33, 3)])
def test_blocks_for(positions, blocks):
    assert blocks_for(positions) == blocks


def test_a_table_grows_by_whole_blocks_and_its_row_follows():
    kv = make()
    table = kv.open()
    assert kv.allocate(table, 17)
    assert (len(table.blocks), table.capacity, kv.num_free) == (2, 32, 6)
    assert kv.allocate(table, 32)
    assert kv.num_free == 6
    assert kv.tables[table.row, :2].tolist() == table.blocks
    kv.check_invariants()


def test_allocate_takes_all_blocks_or_none():
    kv = make()
    table = kv.open()
    assert not kv.allocate(table, 8 * 16 + 1)
    assert kv.num_free == 8
    assert kv.allocate(table, 8 * 16)
    assert kv.num_free == 0


def computed(kv, tokens, salt="", extra=0):
    """Return an open table that holds these tokens, all of them computed, and room for `extra` more."""
    table = kv.open(salt)
    nodes, _ = kv.match_prefix(salt, tokens, len(tokens) - 1)
    kv.adopt(table, nodes)
    assert kv.allocate(table, len(tokens) + extra)
    kv.mark_pending(table, tokens)
    kv.commit(table, tokens, len(tokens))
    kv.check_invariants()
    return table


def test_a_prefix_that_was_computed_is_shared():
    kv = make()
    first = computed(kv, [1] * 16 + [2] * 16 + [3] * 8)
    second = computed(kv, [1] * 16 + [2] * 16 + [4] * 8)
    assert second.blocks[:2] == first.blocks[:2]
    assert second.blocks[2] != first.blocks[2]
    assert (kv.num_free, kv.num_evictable) == (8 - 4, 0)
    kv.close(first)
    assert (kv.num_free, kv.num_evictable) == (8 - 3, 0)
    kv.close(second)
    assert (kv.num_free, kv.num_evictable) == (8, 2)
    kv.check_invariants()


def test_the_last_token_is_never_taken_from_the_cache():
    kv = make()
    kv.close(computed(kv, [1] * 32))
    assert len(kv.match_prefix("", [1] * 32, 31)[0]) == 1
    assert len(kv.match_prefix("", [1] * 33, 32)[0]) == 2


def test_nobody_reads_a_prefix_before_it_is_computed():
    kv = make()
    table, tokens = kv.open(), [1] * 16 + [2] * 16 + [3]
    kv.allocate(table, 33)
    kv.mark_pending(table, tokens)
    nodes, pending = kv.match_prefix("", tokens, len(tokens) - 1)
    assert (nodes, pending.block) == ([], table.blocks[0])
    kv.commit(table, tokens, 20)
    nodes, pending = kv.match_prefix("", tokens, len(tokens) - 1)
    assert ([node.block for node in nodes], pending.block) == (table.blocks[:1], table.blocks[1])
    kv.close(table)
    assert (pending.is_pending, kv.num_evictable) == (False, 1), "what was only promised is gone"
    assert kv.match_prefix("", tokens, len(tokens) - 1) == (nodes, None)
    kv.check_invariants()


def test_salts_do_not_share():
    kv = make()
    kv.close(computed(kv, [1] * 40, "a"))
    assert kv.match_prefix("b", [1] * 40, 39) == ([], None)
    assert len(kv.match_prefix("a", [1] * 40, 39)[0]) == 2


def test_two_tables_that_computed_the_same_keep_one_of_them():
    kv = make()
    tables = [kv.open(), kv.open()]
    for table in tables:
        kv.allocate(table, 20)
    for table in tables:
        kv.commit(table, [1] * 20, 20)
    assert tables[0].blocks[0] == tables[1].blocks[0]
    assert kv.num_free == 8 - 3
    kv.check_invariants()


def test_a_block_that_is_pending_elsewhere_is_not_shared_until_it_is_computed():
    kv = make()
    tokens, tables = [1] * 16, [kv.open(), kv.open()]
    for table in tables:
        kv.allocate(table, 17)
    kv.mark_pending(tables[0], tokens)
    kv.commit(tables[1], tokens, 16)
    kv.check_invariants()
    assert tables[1].blocks[0] != tables[0].blocks[0]
    kv.commit(tables[0], tokens, 16)
    kv.commit(tables[1], [*tokens, 2], 17)
    kv.check_invariants()
    assert tables[1].blocks[0] == tables[0].blocks[0]


def test_the_least_recently_used_prefix_is_evicted_first_and_its_end_before_its_beginning():
    kv = make(num_blocks=6)
    old, new = [1] * 49, [2] * 33
    for tokens in (old, new, old[:33]):
        kv.close(computed(kv, tokens))
    table = kv.open()
    for free_before, known_old, known_new in [(1, 3, 2), (0, 3, 2), (0, 2, 2), (0, 2, 1), (0, 2, 0), (0, 1, 0)]:
        assert len(kv.match_prefix("", old, len(old) - 1)[0]) == known_old
        assert len(kv.match_prefix("", new, len(new) - 1)[0]) == known_new
        assert kv.num_free - kv.num_evictable == free_before
        assert kv.allocate(table, table.capacity + 16)
        kv.check_invariants()
    assert not kv.allocate(table, table.capacity + 16)


def test_an_invalid_prefix_is_evicted_with_all_that_continues_it():
    kv = make()
    bad = computed(kv, [1] * 20)
    kv.close(computed(kv, [1] * 36))
    kv.close(bad, is_valid=False)
    kv.check_invariants()
    assert (kv.num_free, kv.num_evictable) == (8, 0)


def test_without_kept_prefixes_a_prefix_lives_as_long_as_its_tables():
    kv = KVCache(8, max_tables=3, max_blocks_per_table=8, keeps_prefixes=False)
    first, second = computed(kv, [1] * 20), computed(kv, [1] * 20)
    assert first.blocks[0] == second.blocks[0]
    kv.close(first)
    kv.close(second)
    kv.check_invariants()
    assert (kv.num_free, kv.num_evictable) == (8, 0)


def test_the_block_that_was_freed_last_is_allocated_first():
    kv = make()
    table = kv.open()
    kv.allocate(table, 40)
    blocks = table.blocks
    kv.close(table)
    again = kv.open()
    kv.allocate(again, 40)
    assert again.blocks == blocks


def _break_free_twice(kv, table):
    kv._free_blocks.append(kv._free_blocks[0])


def _break_lost(kv, table):
    kv._free_blocks.pop()


def _break_in_use_and_free(kv, table):
    kv._free_blocks.append(table.blocks[0])


def _break_row(kv, table):
    kv.tables[table.row, 0] += 1


def _break_pending(kv, table):
    table.nodes[0].is_computed = False


def _break_branch(kv, table):
    table.nodes[1].parent = kv.prefixes.add("", (9,) * 16, 7)


def _break_content(kv, table):
    kv._nodes[table.blocks[0]] = None


def _break_order(kv, table):
    kv.close(table)
    kv._evictable.move_to_end(next(iter(kv._evictable)))


def _break_two_references(kv, table):
    other = kv.open()
    kv.allocate(other, 1)
    other.blocks[0] = kv.tables[other.row, 0] = table.blocks[0]


@pytest.mark.parametrize(
    "damage",
    [
        _break_free_twice,
        _break_lost,
        _break_in_use_and_free,
        _break_row,
        _break_pending,
        _break_branch,
        _break_content,
        _break_order,
        _break_two_references,
    ],
)
def test_the_invariant_checker_finds_damage(damage):
    kv = make()
    table = computed(kv, [1] * 40)
    damage(kv, table)
    with pytest.raises(AssertionError):
        kv.check_invariants()


class Tables(RuleBasedStateMachine):
    """Open, compute, grow and close tables in any order."""

    def __init__(self):
        super().__init__()
        self.kv = make(num_blocks=12, tables=4)
        self.open = []
        """Tables, their tokens, and how many of them are computed."""

    @precondition(lambda self: self.kv.has_row)
    @rule(salt=st.sampled_from("ab"), blocks=st.lists(st.integers(1, 2), max_size=5), rest=st.integers(1, 16))
    def begin(self, salt, blocks, rest):
        tokens = [token for token in blocks for _ in range(16)] + [3] * rest
        nodes, pending = self.kv.match_prefix(salt, tokens, len(tokens) - 1)
        num_evictable = sum(self.kv.is_evictable(node.block) for node in nodes)
        if pending or blocks_for(len(tokens)) - len(nodes) + num_evictable > self.kv.num_free:
            return
        table = self.kv.open(salt)
        self.kv.adopt(table, nodes)
        assert self.kv.allocate(table, len(tokens))
        self.kv.mark_pending(table, tokens)
        self.open.append([table, tokens, len(nodes) * 16])

    @precondition(lambda self: self.open)
    @rule(data=st.data(), count=st.integers(1, 40))
    def compute(self, data, count):
        entry = data.draw(st.sampled_from(self.open))
        entry[2] = min(entry[2] + count, len(entry[1]))
        self.kv.commit(*entry)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), token=st.integers(1, 2), count=st.integers(1, 33))
    def grow(self, data, token, count):
        entry = data.draw(st.sampled_from(self.open))
        table, tokens, _ = entry
        needed, free = blocks_for(len(tokens) + count) - len(table.blocks), self.kv.num_free
        fits = self.kv.allocate(table, len(tokens) + count)
        assert fits == (needed <= free)
        if fits:
            tokens += [token] * count

    @precondition(lambda self: self.open)
    @rule(data=st.data(), is_valid=st.booleans())
    def close(self, data, is_valid):
        table, _, _ = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        self.kv.close(table, is_valid=is_valid)

    @invariant()
    def holds(self):
        self.kv.check_invariants()
        assert self.kv.num_open == len(self.open)
        for table, tokens, num_computed in self.open:
            cached = [token for node in table.nodes for token in node.tokens]
            assert cached == tokens[: len(cached)]
            assert table.num_computed_blocks * 16 <= num_computed


TestTables = Tables.TestCase
