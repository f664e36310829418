"""Differences of two texts, made visible."""

import re

from hypothesis import given
from hypothesis import strategies as st

from llmos.applications.write.differences import changed_figures, changed_names, word_diff

words = st.lists(st.sampled_from(["the", "shop", "is", "open", "12", ".", " ", "\n\n", "été"]), max_size=30)


def test_changes_are_shown_as_git_shows_them() -> None:
    assert word_diff("Teh shop are open.", "The shop is open.") == "[-Teh-]{+The+} shop [-are-]{+is+} open."
    assert word_diff("same", "same") == "same"
    assert word_diff("", "new") == "{+new+}"


@given(words, words)
def test_both_texts_can_be_read_out_of_a_diff(before: list[str], after: list[str]) -> None:
    old, new = " ".join(before), " ".join(after)
    diff = word_diff(old, new)
    assert re.sub(r"\{\+.*?\+\}", "", diff, flags=re.S).replace("[-", "").replace("-]", "") == old
    assert re.sub(r"\[-.*?-\]", "", diff, flags=re.S).replace("{+", "").replace("+}", "") == new


def test_changed_figures_are_named_and_other_forms_are_none() -> None:
    assert changed_figures("12 % of 1,200 on 1 May 2024", "12 percent of 1200 on May 1, 2024") == []
    assert changed_figures("We had 12 users.", "We had 13 users.") == ["12", "13"]
    assert changed_figures("2 and 2", "2") == ["2"]


def test_changed_names_are_named() -> None:
    assert changed_names("Yesterday Ada met Bob.", "Ada met Carl yesterday.") == ["Bob", "Carl"]
    assert changed_names("Ada Lovelace wrote it.", "Grace Hopper wrote it.") == ["Ada", "Grace", "Hopper", "Lovelace"]
    assert changed_names("However, the shop is open.", "But the shop is open.") == []
    assert changed_names("I think I'm right.", "In my view, it is right.") == []
