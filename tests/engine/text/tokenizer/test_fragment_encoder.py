"""Forced text inside an answer is encoded to the same bytes, never to a control token, as the model would write it."""

import json

import numpy as np
import pytest

from llmos.engine.messages import Grammar
from llmos.engine.text.grammar import GrammarCompiler
from llmos.engine.text.tokenizer import Tokenizer

SCHEMA = {
    "type": "object",
    "properties": {
        "a long name, 你好 <|im_end|>": {"type": "string", "maxLength": 8},
        "n": {"type": "integer", "minimum": 0, "maximum": 99},
        "of": {"enum": ["red", " green", "▁blue", "😀"]},
    },
    "required": ["a long name, 你好 <|im_end|>", "n", "of"],
    "additionalProperties": False,
}


def test_tokens_have_exactly_the_bytes_of_the_text(trained, texts):
    for ours in trained.ours():
        encode = ours.fragment_encoder(ours.vocab_size)
        for text in texts:
            token_ids = encode(text.encode())
            assert b"".join(map(ours.token_bytes, token_ids)) == text.encode()
            assert ours.control_ids.isdisjoint(token_ids)


def test_half_a_character_is_encoded(trained):
    for ours in trained.ours():
        encode = ours.fragment_encoder(ours.vocab_size)
        half = "你".encode()[:2] + b'"}'
        assert b"".join(map(ours.token_bytes, encode(half))) == half


def test_text_at_the_beginning_of_a_word_is_encoded_as_by_the_tokenizer(smollm2):
    encode = smollm2.fragment_encoder(smollm2.vocab_size)
    text = '", "name": "John'
    assert encode(text.encode()) == smollm2.encode(text, add_bos=False)


@pytest.mark.parametrize("padding", [0, 37])
def test_tokens_that_a_grammar_allows_decode_to_text_that_matches_it(trained, padding):
    """Follow the grammar at random, also for vocabularies with fewer tokens than the logits have values."""
    for ours in trained.ours():
        _follow_at_random(ours, ours.vocab_size + padding)


def _follow_at_random(tokenizer: Tokenizer, vocab_size: int) -> None:
    grammars = GrammarCompiler(tokenizer, vocab_size)
    for seed in range(5):
        matcher = grammars.compile(Grammar("json_schema", json.dumps(SCHEMA)))
        choose = np.random.default_rng(seed)
        masks = np.zeros((1, (vocab_size + 31) // 32), np.uint32)
        detokenizer = tokenizer.detokenizer(continues_prompt=True)
        text, is_complete = "", False
        while not is_complete:
            matcher.fill_masks(masks, [])
            allowed = np.flatnonzero(np.unpackbits(masks.view(np.uint8), bitorder="little"))
            assert allowed.max() < tokenizer.vocab_size
            token = int(choose.choice(allowed))
            assert token not in tokenizer.control_ids
            is_complete = matcher.accept(token)
            text += detokenizer.push(token)
        value = json.loads(text + detokenizer.finish())
        assert list(value) == list(SCHEMA["properties"])
        assert value["of"] in SCHEMA["properties"]["of"]["enum"]
