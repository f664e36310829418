"""Snapshots of recurrent states: where they are kept, which is overwritten first, and that none is lost."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.engine.scheduling.prefix_cache import PrefixCache
from llmos.engine.scheduling.snapshot_positions import interval, lasting_positions, prompt_end
from llmos.engine.scheduling.snapshots import Snapshots


@pytest.fixture
def nodes():
    prefixes, parent, path = PrefixCache(), "", []
    for i in range(8):
        parent = prefixes.add(parent, (i,) * 16, block=i)
        parent.is_computed = True
        path.append(parent)
    return path


def keep(snapshots, *nodes):
    for node in nodes:
        snapshots.keep(snapshots.take(), node)


def kept(snapshots):
    return [node for node, _ in snapshots]


def test_the_prefix_before_the_last_snapshot_is_covered(nodes):
    snapshots = Snapshots(10, 4)
    assert snapshots.num_covered(nodes) == 0
    keep(snapshots, nodes[2], nodes[5])
    assert snapshots.num_covered(nodes) == 6
    assert snapshots.num_covered(nodes[:5]) == 3
    assert snapshots.num_covered(nodes[:2]) == 0


def test_the_least_recently_used_one_is_overwritten(nodes):
    snapshots = Snapshots(0, 3)
    keep(snapshots, *nodes[:3])
    snapshots.unpin(snapshots.pin(nodes[0]))
    keep(snapshots, nodes[3])
    assert kept(snapshots) == [nodes[2], nodes[0], nodes[3]]


def test_one_that_is_about_to_be_read_or_is_being_written_is_not_overwritten(nodes):
    snapshots = Snapshots(0, 2)
    keep(snapshots, nodes[0])
    index = snapshots.pin(nodes[0])
    taken = snapshots.take()
    assert snapshots.take() is None
    snapshots.check_invariants(Counter({index: 1}), {taken})
    snapshots.unpin(index)
    assert snapshots.take() == index
    assert kept(snapshots) == []


def test_the_same_state_is_kept_once(nodes):
    snapshots = Snapshots(0, 2)
    first, second = snapshots.take(), snapshots.take()
    snapshots.keep(first, nodes[0])
    snapshots.keep(second, nodes[0])
    assert [*snapshots] == [(nodes[0], first)]
    snapshots.check_invariants(Counter(), set())


def test_a_rolling_one_replaces_the_one_before(nodes):
    snapshots, previous = Snapshots(0, 8), None
    for node in nodes[:4]:
        snapshots.keep(snapshots.take_rolling(previous), node, previous=previous)
        previous = node
    assert kept(snapshots) == [nodes[3]]


def test_a_rolling_one_that_others_begin_with_stays(nodes):
    snapshots = Snapshots(0, 8)
    snapshots.keep(snapshots.take_rolling(None), nodes[0])
    snapshots.unpin(snapshots.pin(nodes[0]))
    snapshots.keep(snapshots.take_rolling(nodes[0]), nodes[1], previous=nodes[0])
    snapshots.stop_rolling(nodes[1])
    snapshots.keep(snapshots.take_rolling(None), nodes[2])
    assert kept(snapshots) == nodes[:3]


def test_rolling_ones_have_half_of_the_room(nodes):
    snapshots = Snapshots(0, 4)
    keep(snapshots, *nodes[:4])
    for node in nodes[4:6]:
        snapshots.keep(snapshots.take_rolling(None), node)
    assert snapshots.take_rolling(None) is None
    index = snapshots.take_rolling(nodes[4])
    assert kept(snapshots) == [nodes[2], nodes[3], nodes[5]], "it makes room itself"
    snapshots.release(index)
    snapshots.check_invariants(Counter(), set())


def test_without_room_nothing_is_kept():
    snapshots = Snapshots(5, 0)
    assert snapshots.take() is None
    assert snapshots.take_rolling(None) is None


def test_a_prompt_keeps_its_junction_its_end_and_intervals():
    assert lasting_positions(0, 1000, 1000, [640]) == [640, 992, 768, 512, 256]
    assert lasting_positions(0, 512, 1000, [640]) == [512, 256]
    assert lasting_positions(512, 1000, 1000, [640]) == [640, 992, 768]
    assert lasting_positions(0, 1000, 1000, [992, 256]) == [992, 256, 768, 512]


def test_a_short_prefix_is_not_worth_a_snapshot():
    assert lasting_positions(0, 60, 60, []) == []
    assert lasting_positions(0, 65, 65, [48]) == [64]


@given(st.integers(1, 200_000), st.integers(1, 600))
def test_a_prompt_of_any_length_in_chunks_of_any_size_keeps_the_same_few(num_tokens, chunk):
    at_once = lasting_positions(0, num_tokens, num_tokens, [])
    assert len(at_once) <= 9
    assert all(position % 16 == 0 for position in at_once)
    ends = [*range(chunk, num_tokens, chunk), num_tokens]
    chunked = [position for end in ends for position in lasting_positions(max(0, end - chunk), end, num_tokens, [])]
    if len(ends) * chunk == num_tokens or chunk == 1:
        assert sorted(chunked) == sorted(at_once)
    assert set(at_once) <= set(chunked)
    assert prompt_end(num_tokens) < num_tokens
    assert interval(num_tokens) * 8 >= num_tokens
