"""Random ids."""

from llmos.core.ids import new_id


def test_ids_have_their_prefix_and_are_unique():
    ids = {new_id("answer") for _ in range(1000)}
    assert len(ids) == 1000
    assert all(each.startswith("answer-") and len(each) == len("answer-") + 24 for each in ids)
