"""Texts with a gap, for models that were trained to fill in the middle."""

from pathlib import Path

import pytest

from llmos.core.errors import BadRequest
from llmos.engine.formats.gguf import GGUFFile
from llmos.engine.text.tokenizer import Tokenizer
from llmos.engine.text.tokenizer.tokenizer import INFILL_TOKENS


@pytest.mark.parametrize("names", INFILL_TOKENS)
def test_the_text_is_put_between_the_models_own_tokens(smollm2_path: Path, names: tuple[str, str, str]) -> None:
    metadata = GGUFFile(smollm2_path).metadata
    tokens = list(metadata["tokenizer.ggml.tokens"])
    tokens[4:7] = names
    tokenizer = Tokenizer.from_gguf({**metadata, "tokenizer.ggml.tokens": tokens})
    encoded = tokenizer.encode_infill("def f(", "):\n<|im_end|>")
    assert [encoded.index(token) for token in (4, 5, 6)] == [0, 1 + len(tokenizer.encode("def f(")), len(encoded) - 1]
    assert tokenizer.decode(encoded, skip_special=False) == f"{names[0]}def f({names[1]}):\n<|im_end|>{names[2]}"
    assert not tokenizer.eos_ids.intersection(encoded)


def test_a_model_without_such_tokens_says_so(smollm2: Tokenizer) -> None:
    with pytest.raises(BadRequest, match="no tokens for that") as caught:
        smollm2.encode_infill("a", "b")
    assert caught.value.param == "suffix"


def test_a_raw_prompt_begins_with_one_bos(smollm2_path: Path) -> None:
    metadata = GGUFFile(smollm2_path).metadata
    tokenizer = Tokenizer.from_gguf({**metadata, "tokenizer.ggml.add_bos_token": True})
    assert tokenizer.encode("Hi", find_control=True) == [1, *tokenizer.encode("Hi", add_bos=False)]
    assert tokenizer.encode("<|im_start|>Hi", find_control=True) == [1, *tokenizer.encode("Hi", add_bos=False)]
