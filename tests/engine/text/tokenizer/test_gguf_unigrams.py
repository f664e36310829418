"""GGUF files with SentencePiece's unigrams, the vocabulary of XLM-RoBERTa: BGE-M3, multilingual E5 and many others."""

import pytest
import tokenizers

from llmos.core.errors import BadModelFile
from llmos.engine.text.tokenizer import Tokenizer


def framed(tokenizer: Tokenizer, text: str) -> list[int]:
    before, behind = tokenizer.affixes
    return [*before, *tokenizer.encode_texts([text])[0], *behind]


def test_a_unigram_vocabulary_cuts_texts_as_its_tokenizer_json(tmp_path):
    pieces = {"<s>": 0.0, "<pad>": 0.0, "</s>": 0.0, "<unk>": 0.0, "▁": -2.0, "▁river": -4.0, "▁riv": -3.5, "er": -2.5,
              "s": -2.0, "r": -5.0, "i": -5.0, "v": -5.0, "e": -5.0, "ers": -3.0, "<mask>": 0.0}  # fmt: skip
    reference = tokenizers.Tokenizer(tokenizers.models.Unigram([*pieces.items()], 3, byte_fallback=False))
    reference.normalizer = tokenizers.normalizers.Replace(tokenizers.Regex(" {2,}"), " ")
    reference.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [tokenizers.pre_tokenizers.WhitespaceSplit(), tokenizers.pre_tokenizers.Metaspace()]
    )
    reference.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    reference.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    ours = Tokenizer.from_gguf(
        {
            "general.architecture": "bert",
            "tokenizer.ggml.model": "t5",
            "tokenizer.ggml.tokens": [*pieces],
            "tokenizer.ggml.scores": [*pieces.values()],
            "tokenizer.ggml.token_type": [2 if p == "<unk>" else 3 if p.startswith("<") else 1 for p in pieces],
            "tokenizer.ggml.bos_token_id": 0,
            "tokenizer.ggml.eos_token_id": 2,
            "tokenizer.ggml.unknown_token_id": 3,
            "tokenizer.ggml.remove_extra_whitespaces": False,
        }
    )
    for text in ("rivers", "river rivers", "  sir  vie ", "rivers é\tis"):
        assert framed(ours, text) == reference.encode(text).ids, text
    frame = ours.pair_frame
    assert (frame.before, frame.between, frame.behind) == ([0], [2, 2], [2])


def test_a_vocabulary_of_unigrams_without_unknown_token_is_refused():
    metadata = {"tokenizer.ggml.model": "t5", "tokenizer.ggml.tokens": ["a"], "tokenizer.ggml.scores": [0.0]}
    with pytest.raises(BadModelFile, match="no unknown token"):
        Tokenizer.from_gguf(metadata)
