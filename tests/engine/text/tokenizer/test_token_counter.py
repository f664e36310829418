"""Counting by words gives what encoding gives, for tokenizers that take words alone; others are asked each time."""

import random
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from llmos.engine.text.tokenizer import token_counter
from llmos.engine.text.tokenizer.token_counter import TokenCounter
from llmos.engine.text.tokenizer.tokenizer import Tokenizer

CONTROL = ["[UNK]", "[CLS]", "[SEP]", "[PAD]"]
PIECES = [*CONTROL, *"abcdefghij.,!-12水果", "##a", "##b", "##c", "##de", "##f", "ab", "cafe"]
LETTERS = [*"abcdefCAFE .,!-12\n\t\u00a0\u3000水果[]ß𝒳", "é", "e\u0301", "CLS"]


def make(folder: Path, pre_tokenizer: tokenizers.pre_tokenizers.PreTokenizer) -> Tokenizer:
    vocabulary = {piece: index for index, piece in enumerate(PIECES)}
    backend = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer = tokenizers.normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizer
    backend.decoder = tokenizers.decoders.WordPiece()
    backend.add_special_tokens(CONTROL)
    backend.save(str(folder / "tokenizer.json"))
    return Tokenizer.from_files({"tokenizer.json": folder / "tokenizer.json"})


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return make(tmp_path_factory.mktemp("bert"), tokenizers.pre_tokenizers.BertPreTokenizer())


@given(text=st.lists(st.sampled_from(LETTERS)).map("".join))
def test_counts_are_those_of_encoding(bert: Tokenizer, text: str) -> None:
    assert bert.has_independent_words
    assert TokenCounter(bert)(text) == len(bert.encode(text, add_bos=False))


def test_other_tokenizers_are_asked_for_the_whole_text(tmp_path: Path) -> None:
    tokenizer = make(tmp_path, tokenizers.pre_tokenizers.Whitespace())
    assert not tokenizer.has_independent_words
    assert TokenCounter(tokenizer)("ab cafe") == 2


@pytest.mark.parametrize(("text", "share"), [("ab cafe", 0), ("ab 🙂 水 果", 0.25), ("🙂", 1), ("", 0)])
def test_words_that_the_vocabulary_lacks_are_a_share_of_the_tokens(bert: Tokenizer, text: str, share: float) -> None:
    assert bert.unknown_share(text) == share


def test_words_are_forgotten_when_there_are_many(bert: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_counter, "_MAX_WORDS", 10)
    counter = TokenCounter(bert)
    choose = random.Random(0)
    for _ in range(50):
        counter("".join(choose.choices("abcde", k=4)))
    assert len(counter._words) <= 11
