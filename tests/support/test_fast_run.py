"""The choice that the fast run makes of tests with many parameters."""

import itertools

from support.fast_run import cover, spread

LETTERS, DIGITS = "abcd", "123456"
ALL = list(itertools.product(LETTERS, DIGITS))


def test_each_value_is_in_a_combination_that_is_chosen_and_no_more_are_chosen_than_that_takes() -> None:
    chosen = cover(ALL, set)
    assert set().union(*chosen) == {*LETTERS, *DIGITS}
    assert len(chosen) == len(DIGITS)


def test_no_value_is_tried_with_all_others_while_another_one_is_tried_once() -> None:
    uses = [sum(letter in combination for combination in cover(ALL, set)) for letter in LETTERS]
    assert sorted(uses) == [1, 1, 2, 2]


def test_a_combination_with_a_value_of_its_own_is_chosen() -> None:
    assert cover([("a", "1"), ("b", "1"), ("b", "2")], set) == {("a", "1"), ("b", "2")}


def test_with_a_limit_so_many_are_chosen_with_as_many_values_as_can_be() -> None:
    chosen = cover(ALL, set, limit=3)
    assert len(chosen) == 3
    assert len(set().union(*chosen)) == 6
    assert cover(ALL[:2], set, limit=3) == set(ALL[:2])


def test_variants_that_lie_far_apart_come_first_and_none_is_lost() -> None:
    assert spread("abcdefg", 3) == ["a", "d", "g", "b", "c", "e", "f"]
    assert spread("ab", 3) == ["a", "b"]
