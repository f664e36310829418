"""Incremental decoding: only whole characters, and the pieces joined equal the decoding at once."""

from hypothesis import given, settings
from hypothesis import strategies as st

from llmos.engine.text.tokenizer import Detokenizer, Tokenizer
from support.examples import examples

_token_ids = st.lists(st.integers(0, 1300), max_size=60)


def stream(detokenizer: Detokenizer, token_ids: list[int]) -> list[str]:
    return [*map(detokenizer.push, token_ids), detokenizer.finish()]


def test_the_pieces_joined_equal_the_decoding_of_any_tokens(gpt2, sentencepiece):
    tokenizers = [*gpt2.ours(), *sentencepiece.ours()]

    @settings(deadline=None, max_examples=examples(200))
    @given(_token_ids)
    def check(token_ids: list[int]) -> None:
        for tokenizer in tokenizers:
            assert "".join(stream(tokenizer.detokenizer(), token_ids)) == tokenizer.decode(token_ids)

    check()


def test_no_piece_of_real_text_has_half_a_character(gpt2, sentencepiece):
    tokenizers = [gpt2.ours()[0], sentencepiece.ours()[0]]

    @settings(deadline=None, max_examples=examples(200))
    @given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufffd"), max_size=40))
    def check(text: str) -> None:
        for tokenizer in tokenizers:
            token_ids = tokenizer.encode(text, add_bos=False)
            pieces = stream(tokenizer.detokenizer(), token_ids)
            assert "\ufffd" not in "".join(pieces)
            assert "".join(pieces) == tokenizer.decode(token_ids)

    check()


def test_an_emoji_of_several_tokens_is_released_with_the_last(gpt2):
    tokenizer = gpt2.ours()[0]
    token_ids = tokenizer.encode("\U0001f9ff")
    assert len(token_ids) > 1
    assert stream(tokenizer.detokenizer(), token_ids) == [""] * (len(token_ids) - 1) + ["\U0001f9ff", ""]


def test_an_answer_that_ends_inside_a_character_ends_with_a_replacement_character(gpt2):
    tokenizer = gpt2.ours()[0]
    token_ids = tokenizer.encode("\U0001f9ff")[:-1]
    assert stream(tokenizer.detokenizer(), token_ids) == [""] * len(token_ids) + ["\ufffd"]


def test_control_tokens_have_no_text(gpt2):
    tokenizer = gpt2.ours()[0]
    (end,) = tokenizer.eos_ids - {0}
    assert stream(tokenizer.detokenizer(), [end, *tokenizer.encode("a"), end]) == ["", "a", "", ""]


def test_an_id_without_a_token_has_no_text(gpt2):
    for tokenizer in gpt2.ours():
        assert stream(tokenizer.detokenizer(), [tokenizer.vocab_size + 5, -1]) == ["", "", ""]
        assert tokenizer.token_bytes(10**6) == b""


def test_an_answer_to_a_chat_begins_without_sentencepieces_space_and_a_continuation_with_it(sentencepiece):
    tokenizer: Tokenizer = sentencepiece.ours()[0]
    token_ids = tokenizer.encode("hello there", add_bos=False)
    assert "".join(stream(tokenizer.detokenizer(), token_ids)) == "hello there"
    assert "".join(stream(tokenizer.detokenizer(continues_prompt=True), token_ids)) == " hello there"
