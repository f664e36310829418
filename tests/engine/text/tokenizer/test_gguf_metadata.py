"""Tokenizers from GGUF metadata: which keys are read, and which errors name what is wrong."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos.core.errors import BadModelFile, UnsupportedModel
from llmos.engine.text.tokenizer import Tokenizer
from support.examples import examples


def with_changes(metadata: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return the metadata with entries of tokenizer.ggml replaced; None removes one."""
    changed = metadata | {f"tokenizer.ggml.{name}": value for name, value in changes.items()}
    return {key: value for key, value in changed.items() if value is not None}


def test_all_end_tokens_end_an_answer(gpt2):
    tokens = gpt2.metadata["tokenizer.ggml.tokens"]
    tokenizer = Tokenizer.from_gguf(with_changes(gpt2.metadata, eos_token_id=10, eot_token_id=11, eom_token_id=12))
    assert tokenizer.eos_ids == {10, 11, 12, tokens.index("<|endoftext|>"), tokens.index("<|im_end|>")}


def test_user_defined_tokens_are_found_in_plain_text(gpt2):
    think = gpt2.metadata["tokenizer.ggml.tokens"].index("<think>")
    assert think in Tokenizer.from_gguf(gpt2.metadata).encode("a<think>b")


def test_bos_is_added_if_the_file_says_so_or_by_the_default_of_its_kind(gpt2, sentencepiece):
    for trained, flag, expected in [
        (gpt2, None, False), (gpt2, True, True), (gpt2, False, False),
        (sentencepiece, None, True), (sentencepiece, False, False),
    ]:  # fmt: skip
        tokenizer = Tokenizer.from_gguf(with_changes(trained.metadata, add_bos_token=flag))
        assert (tokenizer.encode("x")[0] == tokenizer.bos_id) is expected


def test_a_file_may_have_no_bos(gpt2):
    for absent in (None, -1, 2**32 - 1):
        tokenizer = Tokenizer.from_gguf(with_changes(gpt2.metadata, bos_token_id=absent, add_bos_token=True))
        assert tokenizer.bos_id is None
        assert tokenizer.decode(tokenizer.encode("x")) == "x"


def test_sentencepiece_without_a_leading_space(sentencepiece):
    tokenizer = Tokenizer.from_gguf(with_changes(sentencepiece.metadata, add_space_prefix=False))
    for text in ("hello", " hello", "  hello there"):
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_gemma_4_has_sentencepieces_vocabulary_and_its_merges(sentencepiece, texts):
    model = json.loads(sentencepiece.reference.backend_tokenizer.to_str())["model"]
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    usual = Tokenizer.from_gguf(with_changes(sentencepiece.metadata, add_space_prefix=False))
    changes = {"model": "gemma4", "scores": None, "merges": merges, "add_space_prefix": False}
    gemma = Tokenizer.from_gguf(with_changes(sentencepiece.metadata, **changes))
    for text in texts:
        assert gemma.encode(text) == usual.encode(text)


def test_duplicates_in_the_vocabulary_keep_their_text(gpt2):
    tokens = [*gpt2.metadata["tokenizer.ggml.tokens"], "a", "a"]
    types = [*gpt2.metadata["tokenizer.ggml.token_type"], 1, 1]
    tokenizer = Tokenizer.from_gguf(with_changes(gpt2.metadata, tokens=tokens, token_type=types))
    assert [tokenizer.token_text(i) for i in (tokens.index("a"), len(tokens) - 2, len(tokens) - 1)] == ["a", "a", "a"]
    assert tokenizer.decode(tokenizer.encode("banana")) == "banana"


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"model": None}, UnsupportedModel, "None"),
        ({"model": "rwkv"}, UnsupportedModel, "'rwkv'"),
        ({"model": 7}, UnsupportedModel, "7"),
        ({"pre": "qwen22"}, UnsupportedModel, "Nearest: qwen2"),
        ({"pre": 7}, UnsupportedModel, "pre-tokenizer is 7"),
        ({"tokens": None}, BadModelFile, "tokenizer.ggml.tokens"),
        ({"tokens": []}, BadModelFile, "tokenizer.ggml.tokens"),
        ({"tokens": [1, 2]}, BadModelFile, "tokenizer.ggml.tokens"),
        ({"tokens": "abc"}, BadModelFile, "tokenizer.ggml.tokens"),
        ({"token_type": [1]}, BadModelFile, "token_type"),
        ({"token_type": "x"}, BadModelFile, "token_type"),
        ({"merges": None}, BadModelFile, "merges"),
        ({"merges": ["ab"]}, BadModelFile, "merges"),
        ({"merges": ["a "]}, BadModelFile, "merges"),
        ({"merges": ["not there"]}, BadModelFile, "do not fit together"),
        ({"eos_token_id": 10**6}, BadModelFile, "eos_token_id"),
        ({"bos_token_id": "x"}, BadModelFile, "bos_token_id"),
        ({"bos_token_id": True}, BadModelFile, "bos_token_id"),
    ],
)
def test_an_invalid_value_is_named(gpt2, changes: dict[str, Any], error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        Tokenizer.from_gguf(with_changes(gpt2.metadata, **changes))


@pytest.mark.parametrize("scores", [None, [], [0.0], "x", [1, 2]])
def test_sentencepiece_without_scores_or_merges_is_rejected(sentencepiece, scores: Any):
    with pytest.raises(BadModelFile, match="scores"):
        Tokenizer.from_gguf(with_changes(sentencepiece.metadata, scores=scores))


def test_very_long_pieces_take_no_extra_time(sentencepiece):
    tokens = [*sentencepiece.metadata["tokenizer.ggml.tokens"], "a" * 1_000_000]
    scores = [*sentencepiece.metadata["tokenizer.ggml.scores"], 0.0]
    types = [*sentencepiece.metadata["tokenizer.ggml.token_type"], 1]
    changed = with_changes(sentencepiece.metadata, tokens=tokens, scores=scores, token_type=types)
    assert Tokenizer.from_gguf(changed).vocab_size == len(tokens)
    many = with_changes(changed, tokens=[*tokens[:-1], "a" * 9_000_000])
    with pytest.raises(BadModelFile, match="longer than"):
        Tokenizer.from_gguf(many)


values = st.one_of(
    st.none(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.booleans(), st.text(max_size=5),
    st.lists(st.one_of(st.integers(-5, 5000), st.text(max_size=3)), max_size=5),
)  # fmt: skip
entries = st.sampled_from(
    "model pre tokens token_type scores merges bos_token_id eos_token_id unknown_token_id add_bos_token".split()  # noqa: SIM905
)


def test_any_metadata_make_a_tokenizer_or_a_clear_error(gpt2, sentencepiece):
    @settings(deadline=None, max_examples=examples(150))
    @given(st.dictionaries(entries, values, max_size=3), st.booleans())
    def check(changes: dict[str, Any], is_gpt2: bool) -> None:
        try:
            tokenizer = Tokenizer.from_gguf(with_changes((gpt2 if is_gpt2 else sentencepiece).metadata, **changes))
        except (BadModelFile, UnsupportedModel):
            return
        tokenizer.decode(tokenizer.encode("text 人"))

    check()
