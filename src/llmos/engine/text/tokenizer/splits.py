"""Pre-tokenizers of byte-level vocabularies, which split text into words, by the names that GGUF files use.

A GGUF file has only a name (tokenizer.ggml.pre). Each split here is that of the tokenizer.json of the models that the
name stands for. Where llama.cpp splits differently (its engine lacks some regular expressions), the model's own file
counts. Names of models with another kind of vocabulary are left out.
"""

from collections.abc import Callable
from typing import NamedTuple

from tokenizers import Regex, normalizers, pre_tokenizers
from tokenizers.normalizers import Normalizer
from tokenizers.pre_tokenizers import PreTokenizer

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_LINES = r"\s*[\r\n]+|\s+(?!\S)|\s+"


def _words(digits: str, *, marks: str = "") -> str:
    r"""Return the expression of GPT-4's vocabulary and its many variants.

    `digits`: of one token. `marks`: "\p{M}" where combining marks belong to words.
    """
    letters = rf"[\p{{L}}{marks}]+" if marks else r"\p{L}+"
    return (
        rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?{letters}|{digits}"
        rf"| ?[^\s\p{{L}}{marks}\p{{N}}]+[\r\n]*|{_LINES}"
    )


def _cased_words(digits: str, contraction: str = "") -> str:
    """Return the expression of GPT-4o's vocabulary, which splits words before capitals.

    `digits`: of one token. `contraction`: what a word takes along.
    """
    capitals, small = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
    before = r"[^\r\n\p{L}\p{N}]?"
    return (
        rf"{before}{capitals}*{small}+{contraction}|{before}{capitals}+{small}*{contraction}"
        rf"|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_LINES}"
    )


LLAMA3 = _words(r"\p{N}{1,3}")
QWEN2 = _words(r"\p{N}")
QWEN35 = _words(r"\p{N}", marks=r"\p{M}")
SEED_CODER = rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1}}| ?[^\s\p{{L}}\p{{N}}\r\n]+|{_LINES}"
TEKKEN = _cased_words(r"\p{N}")
GPT4O = _cased_words(r"\p{N}{1,3}", rf"{_CONTRACTIONS}?")

_CJK = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
_JAPANESE = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
_CASED = """
    41-5A 61-7A B5 C0-D6 D8-F6 F8-1BA 1BC-1BF 1C4-293 295-2AF 370-373 376 377 37B-37D 37F 386 388-38A 38C 38E-3A1
    3A3-3F5 3F7-481 48A-52F 531-556 10A0-10C5 13A0-13F5 13F8-13FD 1C90-1CBA 1CBD-1CBF 1D00-1D2B 1D6B-1D77 1D79-1D9A
    1E00-1F15 1F18-1F1D 1F20-1F45 1F48-1F4D 1F50-1F57 1F59 1F5B 1F5D 1F5F-1F7D 1F80-1FB4 1FB6-1FBC 1FBE 1FC2-1FC4
    1FC6-1FCC 1FD0-1FD3 1FD6-1FDB 1FE0-1FEC 1FF2-1FF4 1FF6-1FFC 2102 2107 210A-2113 2115 2119-211D 2124 2126 2128
    212A-212D 212F-2134 2139 213C-213F 2145-2149 214E 2183 2184 2C00-2C7B 2C7E-2CE4 2CEB-2CEE 2CF2 2CF3 A640-A66D
    A680-A69B A722-A76F A771-A787 A78B-A78E AB70-ABBF FB00-FB06 FB13-FB17 FF21-FF3A FF41-FF5A 10400-1044F 104B0-104D3
    104D8-104FB 10C80-10CB2 10CC0-10CF2 118A0-118DF 1E900-1E943
"""
"""The code points of DeepSeek's letters, as ranges."""


def _letters(ranges: str) -> str:
    """Return the ranges as the inside of a character class."""
    return "".join("-".join(chr(int(end, 16)) for end in each.split("-")) for each in ranges.split())


DEEPSEEK_LLM = (
    r"[\r\n]",
    rf"\s?[{_letters(_CASED)}]+",
    "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+",
    r"\s+$",
    _CJK,
)
DEEPSEEK_CODER = (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _CJK)
DEEPSEEK3 = (
    r"\p{N}{1,3}",
    _JAPANESE,
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
    rf"| ?[\p{{P}}\p{{S}}]+[\r\n]*|{_LINES}",
)
SUPERBPE = (r"\p{N}+", r"(?=(\d{3})+(?!\d))")


class Split(NamedTuple):
    pre_tokenizer: Callable[[], PreTokenizer]
    normalizer: Callable[[], Normalizer] | None = None
    takes_whole_words: bool = False
    """A word in the vocabulary is one token, whatever the merges are."""
    adds_bos: bool = False
    """Text begins with BOS unless the file says otherwise."""


def _gpt2() -> PreTokenizer:
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)


def _gpt2_single_digits() -> PreTokenizer:
    return pre_tokenizers.Sequence([_digits(), _gpt2()])


def _falcon() -> PreTokenizer:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Punctuation(behavior="contiguous"),
            _gpt2(),
            pre_tokenizers.Digits(individual_digits=False),
            pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), behavior="isolated"),
        ]
    )


def _digits() -> PreTokenizer:
    return pre_tokenizers.Digits(individual_digits=True)


def _by_regex(*patterns: str, single_digits: bool = False) -> Callable[[], PreTokenizer]:
    """Return a pre-tokenizer that splits by one expression after the other. `single_digits`: then between digits."""
    return lambda: pre_tokenizers.Sequence(
        [
            *(pre_tokenizers.Split(Regex(pattern), behavior="isolated") for pattern in patterns),
            *([_digits()] if single_digits else []),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


_SPLITS: dict[Split, str] = {
    Split(_gpt2): (
        "gpt-2 phi-2 default olmo mpt jais trillion granite-docling gigachat a.x-4.0 mellum exaone4 modern-bert"
        " roberta-bpe"
    ),
    Split(_gpt2_single_digits): "smollm starcoder refact codeshell exaone minerva-7b mellum2",
    Split(_gpt2_single_digits, normalizers.NFC): "command-r",
    Split(_falcon): "falcon",
    Split(_by_regex(LLAMA3), takes_whole_words=True, adds_bos=True): (
        "llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2"
    ),
    Split(_by_regex(LLAMA3), takes_whole_words=True): "smaug-bpe dbrx glm4 chatglm-bpe",
    Split(_by_regex(QWEN2), normalizers.NFC): "qwen2 deepseek-r1-qwen stablelm2 megrez kormo f2llmv2",
    Split(_by_regex(QWEN2)): "hunyuan solar-open grok-2",
    Split(_by_regex(QWEN35), normalizers.NFC): "qwen35",
    Split(_by_regex(TEKKEN), takes_whole_words=True, adds_bos=True): "tekken",
    Split(_by_regex(GPT4O), takes_whole_words=True): "gpt-4o llama4 kanana2 minimax-m2",
    Split(_by_regex(SEED_CODER)): "seed-coder",
    Split(_by_regex(*DEEPSEEK_LLM, single_digits=True)): "deepseek-llm",
    Split(_by_regex(*DEEPSEEK_CODER, single_digits=True)): "deepseek-coder",
    Split(_by_regex(*DEEPSEEK3)): "deepseek-v3 hunyuan-dense joyai-llm",
    Split(_by_regex(*SUPERBPE)): "superbpe",
}
"""The names of each split, with spaces between them."""

SPLITS: dict[str, Split] = {name: split for split, names in _SPLITS.items() for name in names.split()}
"""By the names in GGUF files."""
