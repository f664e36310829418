"""The search for near duplicates: each match is a true one, and hardly one is missed."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from llmos.data.operators.near_duplicate_rows import NearDuplicates
from llmos.data.operators.words import words_of
from support.examples import examples

WORDS = [f"word{i}" for i in range(40)]


def jaccard(one, other, length=5):
    def sequences(text):
        words = words_of(text)
        length_here = min(length, len(words))
        return {tuple(words[i : i + length_here]) for i in range(len(words) - length_here + 1)}

    first, second = sequences(one), sequences(other)
    return len(first & second) / len(first | second)


@given(st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=30), max_size=12))
@settings(max_examples=examples(200))
def test_a_match_is_similar_earlier_and_no_match_itself(texts):
    texts = [" ".join(words) for words in texts]
    found = NearDuplicates().find(texts)
    for index, match in found.items():
        assert match.index < index
        assert match.index not in found
        assert match.similarity == jaccard(texts[index], texts[match.index]) >= 0.8


def test_hardly_a_near_duplicate_is_missed():
    numbers = random.Random(1)
    texts, changed = [], 0
    for _ in range(300):
        words = [numbers.choice(WORDS) + str(numbers.randrange(50)) for _ in range(120)]
        texts.append(" ".join(words))
        words[60] = "changed"
        texts.append(" ".join(words))
        changed += 1
    assert set(NearDuplicates().find(texts)) == set(range(1, 600, 2))
    assert changed == 300
