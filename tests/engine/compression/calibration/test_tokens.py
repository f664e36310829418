"""Calibration texts: which windows are used, and which texts are refused."""

from dataclasses import dataclass

import numpy as np
import pytest

from llmos.core.errors import BadRequest
from llmos.engine.compression.calibration import Calibration
from llmos.engine.compression.calibration.tokens import tokens_of_text

FEW = Calibration(num_texts=4, text_length=10)


@dataclass
class Words:
    """A tokenizer of one token a word."""

    def encode(self, text: str) -> list[int]:
        return [*range(len(text.split()))]


def test_windows_are_spread_over_the_whole_text(tmp_path):
    (tmp_path / "text").write_text("word " * 100)
    tokens_SL = tokens_of_text(tmp_path / "text", Words(), FEW, 256)
    np.testing.assert_array_equal(tokens_SL[:, 0], [0, 30, 60, 90])
    np.testing.assert_array_equal(tokens_SL[-1], np.arange(90, 100))


def test_only_pieces_of_a_long_text_are_encoded_spread_over_it(tmp_path):
    class Watched(Words):
        given = ()

        def encode(self, text: str) -> list[int]:
            self.given = (*self.given, text)
            return [int(word) for word in text.split()[1:]]  # the first may be cut

    (tmp_path / "text").write_text(" ".join(map(str, range(50_000))))
    words = Watched()
    tokens_SL = tokens_of_text(tmp_path / "text", words, FEW, 256)
    assert tokens_SL.shape == (4, 10)
    assert tokens_SL[0, 0] < 10
    assert np.diff(tokens_SL[:, 0]).min() > 10_000
    assert tokens_SL[-1, -1] > 49_900
    assert sum(map(len, words.given)) <= 4 * 10 * 32


def test_pieces_do_not_cut_characters_and_must_be_utf_8(tmp_path):
    (tmp_path / "text").write_text("ö€𝄞 " * 10_000, encoding="utf-8")
    assert tokens_of_text(tmp_path / "text", Words(), FEW, 256).shape == (4, 10)
    (tmp_path / "text").write_bytes(bytes(range(256)) * 1000)
    with pytest.raises(BadRequest, match="is not UTF-8 text"):
        tokens_of_text(tmp_path / "text", Words(), FEW, 256)


def test_texts_are_no_longer_than_the_models_context(tmp_path):
    (tmp_path / "text").write_text("word " * 100)
    assert tokens_of_text(tmp_path / "text", Words(), FEW, 8).shape == (4, 8)


def test_the_error_of_a_short_text_says_for_how_many_it_is_enough(tmp_path):
    (tmp_path / "text").write_text("word " * 25)
    with pytest.raises(BadRequest, match=r"has 25 tokens; 4 texts of 10 need 40. Give a longer .*--texts 2\."):
        tokens_of_text(tmp_path / "text", Words(), FEW, 256)


def test_the_error_of_a_text_shorter_than_one_window_asks_for_a_longer_one(tmp_path):
    (tmp_path / "text").write_text("word " * 9)
    with pytest.raises(BadRequest, match=r"has 9 tokens; 4 texts of 10 need 40. Give a longer text\.$"):
        tokens_of_text(tmp_path / "text", Words(), FEW, 256)


def test_a_file_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "text").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadRequest, match="is not UTF-8 text"):
        tokens_of_text(tmp_path / "text", Words(), FEW, 256)
    with pytest.raises(BadRequest, match="can't be read: Is a directory"):
        tokens_of_text(tmp_path, Words(), FEW, 256)
