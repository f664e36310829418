"""Ids, suggestions and the clock."""

from datetime import UTC

from llmos.core.clock import utc_now
from llmos.core.ids import new_id
from llmos.core.suggest import nearest


def test_ids_carry_their_prefix_and_never_repeat():
    ids = {new_id("answer") for _ in range(1000)}
    assert len(ids) == 1000
    assert all(each.startswith("answer-") and len(each) == len("answer-") + 24 for each in ids)


def test_the_nearest_names_come_first_and_strangers_not_at_all():
    assert nearest("smolm2", ["minilm", "smollm2", "smollm2-big"])[0] == "smollm2"
    assert nearest("gpt-3", ["smollm2"]) == []


def test_now_is_in_utc():
    assert utc_now().tzinfo is UTC
