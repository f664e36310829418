"""Blocks are never lost, never given twice, and a shared one is free when its last owner lets go."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from llmos.engine.kv_cache import KVCache, blocks_for


def make(num_blocks=8, tables=3):
    return KVCache(num_blocks, max_tables=tables, max_blocks_per_table=num_blocks)


@pytest.mark.parametrize(("positions", "blocks"), [(0, 0), (1, 1), (16, 1), (17, 2), (32, 2), (33, 3)])
def test_blocks_for(positions, blocks):
    assert blocks_for(positions) == blocks


def test_a_table_grows_by_whole_blocks_and_its_row_follows():
    kv = make()
    table = kv.open()
    assert kv.extend(table, 17)
    assert (len(table.blocks), table.capacity, kv.num_free) == (2, 32, 6)
    assert kv.extend(table, 32)
    assert kv.num_free == 6
    assert kv.tables[table.row, :2].tolist() == table.blocks
    kv.check_invariants()


def test_extend_takes_all_it_needs_or_nothing():
    kv = make()
    table = kv.open()
    assert not kv.extend(table, 8 * 16 + 1)
    assert kv.num_free == 8
    assert kv.extend(table, 8 * 16)
    assert kv.num_free == 0


def test_a_shared_block_is_free_when_its_last_owner_lets_go():
    kv = make()
    first, second = kv.open(), kv.open()
    kv.extend(first, 40)
    kv.share(first, second, 2)
    kv.extend(second, 40)
    assert second.blocks[:2] == first.blocks[:2]
    assert second.blocks[2] != first.blocks[2]
    assert kv.num_free == 8 - 4
    kv.close(first)
    assert kv.num_free == 8 - 3
    kv.check_invariants()
    kv.close(second)
    assert kv.num_free == 8
    kv.check_invariants()


def test_the_block_that_was_freed_last_is_used_first():
    kv = make()
    table = kv.open()
    kv.extend(table, 40)
    blocks = table.blocks
    kv.close(table)
    again = kv.open()
    kv.extend(again, 40)
    assert again.blocks == blocks


def _break_free_twice(kv, table):
    kv._free.append(kv._free[0])


def _break_lost(kv, table):
    kv._free.pop()


def _break_owned_and_free(kv, table):
    kv._free.append(table.blocks[0])


def _break_row(kv, table):
    kv.tables[table.row, 0] += 1


def _break_two_owners(kv, table):
    other = kv.open()
    kv.extend(other, 1)
    other.blocks[0] = kv.tables[other.row, 0] = table.blocks[0]


@pytest.mark.parametrize(
    "damage", [_break_free_twice, _break_lost, _break_owned_and_free, _break_row, _break_two_owners]
)
def test_the_invariant_checker_finds_damage(damage):
    kv = make()
    table = kv.open()
    kv.extend(table, 20)
    kv.check_invariants()
    damage(kv, table)
    with pytest.raises(AssertionError):
        kv.check_invariants()


class Tables(RuleBasedStateMachine):
    """Open, extend, share and close in any order."""

    def __init__(self):
        super().__init__()
        self.kv = make(num_blocks=12, tables=4)
        self.open = []

    @precondition(lambda self: self.kv.has_row)
    @rule()
    def open_one(self):
        self.open.append(self.kv.open())

    @precondition(lambda self: self.open)
    @rule(data=st.data(), positions=st.integers(0, 12 * 16))
    def extend(self, data, positions):
        table = data.draw(st.sampled_from(self.open))
        needed, free, capacity = blocks_for(positions) - len(table.blocks), self.kv.num_free, table.capacity
        fits = self.kv.extend(table, positions)
        assert fits == (needed <= free)
        assert table.capacity == (max(blocks_for(positions) * 16, capacity) if fits else capacity)

    @precondition(lambda self: self.open and self.kv.has_row)
    @rule(data=st.data())
    def share(self, data):
        source = data.draw(st.sampled_from(self.open))
        target = self.kv.open()
        self.kv.share(source, target, data.draw(st.integers(0, len(source.blocks))))
        self.open.append(target)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def close(self, data):
        self.kv.close(self.open.pop(data.draw(st.integers(0, len(self.open) - 1))))

    @invariant()
    def holds(self):
        self.kv.check_invariants()
        assert self.kv.num_open == len(self.open)


TestTables = Tables.TestCase
