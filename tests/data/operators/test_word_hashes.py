"""Hashes of words and of their sequences: of each text alone, whatever stands beside it, and equal everywhere."""

import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.data.operators.word_hashes import (
    hashes_of_texts,
    hashes_of_words,
    sequence_hashes,
    sequence_hashes_of_texts,
)
from llmos.data.operators.words import words_of

TEXTS = st.lists(st.text(st.sampled_from("ab Cé好,_ \n"), max_size=40), max_size=8)


def alone(text, length):
    return sequence_hashes(hashes_of_words(words_of(text)), length).tolist()


@given(TEXTS)
def test_words_have_the_same_hashes_in_every_text(texts):
    hashes, num_words = hashes_of_texts(texts)
    words = [word for text in texts for word in words_of(text)]
    assert num_words.tolist() == [len(words_of(text)) for text in texts]
    assert hashes.tolist() == [hashes_of_words([word])[0] for word in words]


@given(TEXTS, st.integers(1, 6))
def test_sequences_of_texts_are_those_of_each_text(texts, length):
    sequences, offsets = sequence_hashes_of_texts(texts, length)
    found = [sequences[int(begin) : int(end)].tolist() for begin, end in pairwise(offsets)]
    assert found == [alone(text, length) for text in texts]
    assert len(sequences) == offsets[-1]


@pytest.mark.parametrize("num_words", [1, 30_000])
def test_a_word_longer_than_a_block_or_at_its_edge_has_the_hash_of_the_word_alone(num_words):
    choose = random.Random(num_words)
    words = ["".join(choose.choices("abcxyz", k=choose.randint(1, 200_000 // num_words))) for _ in range(num_words)]
    hashes = hashes_of_words(words)
    shuffled = sorted(range(num_words), key=lambda index: words[index])
    assert np.array_equal(hashes_of_words([words[index] for index in shuffled]), hashes[shuffled])
    assert len(set(hashes.tolist())) == len(set(words))
    assert hashes_of_words(["a", words[-1]])[1] == hashes[-1]


def test_the_order_of_letters_and_of_words_matters():
    assert len(set(hashes_of_words(["ab", "ba", "a", "b", "aab", "aba"]).tolist())) == 6
    assert alone("a b", 2) != alone("b a", 2)


def test_hashes_are_the_same_on_every_machine():
    assert alone("One two three", 2) == [12072543984958951726, 10345475876625143197]
    assert hashes_of_words(["one"]).tolist() == [polynomial(b"one")]


def polynomial(word):
    value = sum(byte * pow(0xD1342543DE82EF95, place, 2**64) for place, byte in enumerate(word)) % 2**64
    return (value ^ value >> 32) * 0x9E3779B97F4A7C15 % 2**64
