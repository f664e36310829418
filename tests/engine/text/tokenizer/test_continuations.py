"""A text behind a prompt has the tokens that it has in the whole text, or an error shows how the two merge."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos.core.errors import BadRequest
from llmos.engine.text.tokenizer import Tokenizer
from llmos.engine.text.tokenizer import continuations as module
from llmos.engine.text.tokenizer.continuations import PromptEnd, encode_behind
from support.examples import examples

PARTS = [
    "the ",
    "value",
    " of",
    " names",
    "\n",
    "  ",
    " ",
    "x",
    "12",
    "1",
    "人生",
    "的",
    "。",
    "é",
    "🙈",
    "<s>",
    "▁",
    "'ll",
]
texts = st.lists(st.sampled_from(PARTS), max_size=30).map("".join)


def behind(tokenizer: Tokenizer, prompt: str, *continuations: str, find_control: bool = False) -> list[list[int]]:
    tokens = tokenizer.encode(prompt, find_control=find_control)
    end = PromptEnd.of_text(prompt, tokens, tokenizer, find_control=find_control)
    return encode_behind(end, continuations, [f"continuations[{i}]" for i in range(len(continuations))], tokenizer)


@pytest.mark.parametrize("num_end_tokens", [64, 12])
def test_a_text_has_the_tokens_of_the_whole_text_or_is_refused(trained, monkeypatch, num_end_tokens):
    monkeypatch.setattr(module, "NUM_END_TOKENS", num_end_tokens)
    tokenizers = trained.ours()

    @settings(deadline=None, max_examples=examples(100))
    @given(texts, texts)
    def check(prompt: str, text: str) -> None:
        for tokenizer in tokenizers:
            tokens, whole = tokenizer.encode(prompt), tokenizer.encode(prompt + text)
            if whole[: len(tokens)] == tokens:
                assert behind(tokenizer, prompt, text) == [whole[len(tokens) :]]
            else:
                with pytest.raises(BadRequest, match=r"`continuations\[0\]` .* merges with the end of the prompt"):
                    behind(tokenizer, prompt, text)

    check()


def test_a_long_prompt_is_not_encoded_again_for_each_text(smollm2, monkeypatch):
    prompt, lengths = "The quick brown fox jumps over the lazy dog. " * 200 + "And so", []
    encode_batch = Tokenizer._encode_batch

    def recorded(self, backend, texts):
        lengths.extend(map(len, texts))
        return encode_batch(self, backend, texts)

    monkeypatch.setattr(Tokenizer, "_encode_batch", recorded)
    whole = smollm2.encode(prompt)
    found = behind(smollm2, prompt, " it goes", " on and on")
    assert found == [smollm2.encode(prompt + text)[len(whole) :] for text in (" it goes", " on and on")]
    assert max(lengths) < 500


def test_the_error_shows_both_readings(smollm2):
    with pytest.raises(BadRequest) as error:
        behind(smollm2, "The capital of Fra", " x", "nce")
    assert error.value.param == "continuations[1]"
    assert error.value.message == (
        "`continuations[1]` ('nce') merges with the end of the prompt: together they read […' France'], apart "
        "[…' Fra', 'nce']. Move the end of the prompt into every continuation, or send token ids."
    )


def test_a_sentencepiece_tokenizer_adds_no_space(sentencepiece):
    for tokenizer in sentencepiece.ours():
        whole = tokenizer.encode("The name")
        assert tokenizer.decode(behind(tokenizer, "The name", "-of")[0], skip_special=False) == "-of"
        assert behind(tokenizer, "The name", " of") == [tokenizer.encode("The name of")[len(whole) :]]
        assert tokenizer.encode_inside([" of"]) == [tokenizer.encode("of", add_bos=False)]


def test_an_empty_prompt_is_followed_by_the_first_text(sentencepiece):
    for tokenizer in sentencepiece.ours():
        assert behind(tokenizer, "", "The name") == [tokenizer.encode("The name", add_bos=False)]


@pytest.mark.parametrize("filling", ["", "word " * 100])
def test_control_strings_are_tokens_where_they_are_in_the_prompt(smollm2, filling):
    prompt = f"<|im_start|>user\n{filling}Hi<|im_end|>\n<|im_start|>assistant\n"
    tokens = smollm2.encode(prompt, find_control=True)
    (found,) = behind(smollm2, prompt, "Yes.<|im_end|>", find_control=True)
    assert tokens + found == smollm2.encode(prompt + "Yes.<|im_end|>", find_control=True)
    assert found[-1] == smollm2.control_id("<|im_end|>")
    (plain,) = behind(smollm2, prompt, "Yes.<|im_end|>")
    assert smollm2.control_ids.isdisjoint(plain)


def test_a_message_that_goes_on_merges_with_its_continuation(smollm2):
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "The capital of Fra"}]
    end = PromptEnd.of_message(smollm2.encode_chat(messages, continue_final_message=True), smollm2)
    assert end is not None
    assert encode_behind(end, [" is"], ["a"], smollm2) == [smollm2.encode(" is")]
    with pytest.raises(BadRequest, match="merges"):
        encode_behind(end, ["nce"], ["a"], smollm2)


def test_texts_inside_others_have_no_control_tokens(trained):
    for tokenizer in trained.ours():
        for token_ids in tokenizer.encode_inside(["<|im_end|>", "a<|im_start|>b", "</s><s>"]):
            assert tokenizer.control_ids.isdisjoint(token_ids)
