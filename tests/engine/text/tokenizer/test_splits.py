"""The names of pre-tokenizers in GGUF files: each splits text as the tokenizer.json of the published models does."""

import json
import unicodedata

import pytest
from tokenizers import Tokenizer as Backend
from tokenizers import models, pre_tokenizers

from llmos.core.errors import UnsupportedModel
from llmos.engine.text.tokenizer import Tokenizer
from llmos.engine.text.tokenizer.pieces import byte_level_bytes
from llmos.engine.text.tokenizer.splits import SPLITS

from .conftest import TEXTS

CASES = [
    *TEXTS,
    "I'VE don't WE'LL camelCase HTTPServer iPhone ÀÉÎ étéÉté ǅungla",
    "e\u0301a\u0301 नि हिन्दी ก็ ﷺ",
    "x=12345678; y = -1.50e10\n\n\n\tz[0]=$5,000 == 100%",
    "/usr/bin//env\n/**\n * doc\n */\r\n\r\n",
    "价格是 1234 元。한국어123 ひらがなカタカナ漢字 ﾊﾝｶｸ",
    "Ὗώᾳ Ω K Å ℤ ῼ ﬀ Ａｂｃ，！（１２３） «quoted» ‘single’ …",
    "trailing   \n  ",
]

GPT4 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN = GPT4.replace("{1,3}", "")
QWEN35 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
GPT4O = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SEED_CODER = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+"
)
DEEPSEEK3 = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CJK = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"

DIGITS = {"type": "Digits", "individual_digits": True}
WORDS = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
BYTES = {**WORDS, "use_regex": False}
NFC = {"type": "NFC"}


def by_regex(*patterns: str) -> list[dict[str, object]]:
    steps = [
        {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
        for pattern in patterns
    ]
    return [*steps, BYTES]


PUBLISHED = {
    "gpt-2": [WORDS],  # GPT-2
    "olmo": [WORDS],  # OLMo 1.7
    "smollm": [DIGITS, WORDS],  # SmolLM
    "refact": [DIGITS, WORDS],  # Refact, and Granite 3
    "starcoder": [DIGITS, WORDS],  # StarCoder 2
    "dbrx": by_regex(GPT4),  # DBRX, Phi 4, OLMo 2 and Granite 4
    "smaug-bpe": by_regex(GPT4),  # Smaug, and SmolLM3
    "llama-bpe": by_regex(GPT4),  # Llama 3
    "falcon3": by_regex(GPT4),
    "lfm2": by_regex(GPT4),
    "glm4": by_regex(GPT4),
    "qwen2": by_regex(QWEN),
    "stablelm2": by_regex(QWEN),
    "qwen35": by_regex(QWEN35),
    "gpt-4o": by_regex(GPT4O),  # GPT-4o, gpt-oss and Phi 4 mini
    "llama4": by_regex(GPT4O),
    "tekken": by_regex(TEKKEN),  # Mistral Nemo, Ministral
    "seed-coder": by_regex(SEED_CODER),  # Seed-Coder, Seed-OSS
    "deepseek-coder": [*by_regex(r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", CJK)[:-1], DIGITS, BYTES],
    "deepseek-v3": by_regex(r"\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+", DEEPSEEK3),
    "superbpe": by_regex(r"\p{N}+", r"(?=(\d{3})+(?!\d))"),
    "falcon": [
        {"type": "Punctuation", "behavior": "Contiguous"},
        WORDS,
        {"type": "Digits", "individual_digits": False},
        *by_regex("[0-9][0-9][0-9]")[:-1],
    ],
}
"""The pre_tokenizer of each model's tokenizer.json."""

NORMALIZED = {"qwen2", "stablelm2", "qwen35"}
"""The names whose models bring text into Unicode's form NFC."""


def published(name: str) -> Backend:
    state = json.loads(Backend(models.BPE()).to_str())
    state["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": PUBLISHED[name]}
    state["normalizer"] = NFC if name in NORMALIZED else None
    return Backend.from_str(json.dumps(state))


@pytest.mark.parametrize("name", PUBLISHED)
def test_text_is_split_as_by_the_published_models(name):
    reference, split = published(name), SPLITS[name]
    ours = split.pre_tokenizer()
    for text in CASES:
        expected = reference.normalizer.normalize_str(text) if reference.normalizer else text
        assert (split.normalizer().normalize_str(text) if split.normalizer else text) == expected
        assert ours.pre_tokenize_str(expected) == reference.pre_tokenizer.pre_tokenize_str(expected), text


def test_deepseek_llm_splits_letters_punctuation_and_digits():
    text = "Ab \u1f5f\u1f7d, 12 人生\n\n\u03bda！ x"
    words = SPLITS["deepseek-llm"].pre_tokenizer().pre_tokenize_str(text)
    decoded = [byte_level_bytes(word).decode() for word, _ in words]
    # Its classes overlap: that of punctuation has ASCII's letters, and that of Chinese has accented Greek.
    expected = ["Ab", " ", "\u1f5f\u1f7d", ",", " ", "1", "2", " ", "人生", "\n", "\n", "\u03bd", "a", "！", " x"]
    assert decoded == expected


@pytest.mark.parametrize("name", SPLITS)
def test_every_known_name_makes_a_tokenizer_that_gives_the_text_back(name):
    tokens = sorted(pre_tokenizers.ByteLevel.alphabet())
    metadata = {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": name, "tokenizer.ggml.tokens": tokens}
    tokenizer = Tokenizer.from_gguf(metadata | {"tokenizer.ggml.merges": []})
    assert not tokenizer.warnings
    for text in CASES:
        expected = unicodedata.normalize("NFC", text) if SPLITS[name].normalizer else text
        assert tokenizer.decode(tokenizer.encode(text)) == expected


def test_a_file_without_the_name_of_a_pre_tokenizer_warns():
    metadata = {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.tokens": ["a"], "tokenizer.ggml.merges": []}
    (warning,) = Tokenizer.from_gguf(metadata).warnings
    assert "tokenizer.ggml.pre is missing" in warning


def test_an_unknown_name_is_rejected_with_the_nearest_one():
    metadata = {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.tokens": ["a"], "tokenizer.ggml.merges": []}
    with pytest.raises(UnsupportedModel, match=r"'refakt'.*Nearest: refact"):
        Tokenizer.from_gguf(metadata | {"tokenizer.ggml.pre": "refakt"})
