"""Suggestions for unknown names."""

from llmos.core.suggest import nearest


def test_similar_names_come_first_and_others_are_left_out():
    assert nearest("smolm2", ["minilm", "smollm2", "smollm2-big"])[0] == "smollm2"
    assert nearest("gpt-3", ["smollm2"]) == []
