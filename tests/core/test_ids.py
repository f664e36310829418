"""Random ids."""

import os

import pytest

from llmos.core.ids import new_id


def test_ids_have_their_prefix_and_are_unique():
    ids = {new_id("answer") for _ in range(1000)}
    assert len(ids) == 1000
    assert all(each.startswith("answer-") and len(each) == len("answer-") + 24 for each in ids)


@pytest.mark.process
def test_a_forked_process_draws_other_ids_than_its_parent():
    new_id("answer")  # Numbers are drawn ahead.
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, new_id("answer").encode())
        os._exit(0)
    os.waitpid(child, 0)
    drawn = os.read(reading, 100).decode()
    os.close(reading)
    os.close(writing)
    assert drawn not in {new_id("answer") for _ in range(200)}
