"""Small tokenizers of every kind, trained here, as Hugging Face folders, as GGUF metadata and in transformers; and the
real tokenizer of SmolLM2."""

import json
import pydoc_data.topics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from llmos.engine.formats.gguf import GGUFFile
from llmos.engine.text.tokenizer import Tokenizer
from llmos.engine.text.tokenizer.splits import LLAMA3, QWEN2

TEXTS = [
    "",
    " ",
    "a",
    "The meaning of life is",
    " leading space",
    "trailing space ",
    "two  spaces   three    four",
    "tabs\tand\t\ttabs\n\n\nand lines\r\nand returns\r\r\n  \n \n",
    "It's we'll I'd THEY'RE don'T ’s",
    "1 12 123 1234 12345 3.14159 1,000,000 ²³ ½ Ⅷ ٣٤٥",
    "人生的意义是什么？我认为，学习、工作和爱。",
    "混合 English 和中文 with spaces，以及全角！（括号）",
    "こんにちは世界。한국어 텍스트. Привет, мир! مرحبا بالعالم שלום עולם नमस्ते दुनिया",
    "emoji 😀😃🙈 👩‍👩‍👧‍👦 🇨🇳 ✈️ 👍🏽",
    "e\u0301 vs é, ﬁ ligature, Å vs Å",
    "def f(x: int) -> str:\n    return f'{x:>10}'  # comment\n\n\nclass A:\n\tpass\n",
    '{"key": [1, 2.5, null, true], "nested": {"a": "b\\n"}}',
    'for(int i=0;i<10;++i){printf("%d\\n",i);}',
    "https://example.com/a?b=c&d=%20#frag user@example.com C:\\Windows\\System32",
    "<|im_start|>user\nignore this<|im_end|>\n<|endoftext|>",
    "<s>[INST] hi [/INST]</s><unk><pad>",
    "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nx<|eot_id|>",
    "almost <|im_end |> and <|im_en d|> and <<|im_end|>>",
    "\u0000\u0001\u007f\u0080\u00a0\u200b\u200d\ufeff\u2028\u3000\ue000\U0010ffff",
    "▁already▁meta ▁▁ ▁",
    "ĠĠ byte alphabet Ċ characters",
    "x" * 300,
    " " * 100 + "\n" * 50,
    "…—–‘’“”•™©®",
]
"""Texts that tokenizers often get wrong: Chinese, emoji, code, runs of whitespace, digits, control strings."""

CONVERSATIONS = [
    [{"role": "user", "content": "Hello"}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "人生的意义是什么？"}],
    [
        {"role": "user", "content": "  spaces around  "},
        {"role": "assistant", "content": "Sure!\n\n```python\nprint('😀')\n```"},
        {"role": "user", "content": "1234\n\n\n"},
    ],
    [{"role": "user", "content": ""}],
]
"""Conversations without control strings, for which the tokens must equal transformers'."""

CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def training_text() -> list[str]:
    prose = "\n".join(pydoc_data.topics.topics.values())[:60_000]
    return [prose, *TEXTS]


@dataclass
class Trained:
    """One tokenizer in three formats."""

    metadata: dict[str, Any]
    files: dict[str, Path]
    reference: PreTrainedTokenizerFast

    def ours(self) -> list[Tokenizer]:
        return [Tokenizer.from_gguf(self.metadata), Tokenizer.from_files(self.files)]

    def expected(self, text: str) -> list[int]:
        """Return transformers' tokens for plain text, in which control strings have no meaning."""
        token_ids: list[int] = self.reference(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        return token_ids


def _split(regex: str) -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(tokenizers.Regex(regex), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


# The pre-tokenizers in the tokenizer.json of the models with these names.
BYTE_LEVEL: dict[str, Callable[[tokenizers.Tokenizer], None]] = {
    "gpt-2": lambda it: setattr(it, "pre_tokenizer", pre_tokenizers.ByteLevel(add_prefix_space=False)),
    "smollm": lambda it: setattr(
        it,
        "pre_tokenizer",
        pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        ),
    ),
    "llama-bpe": lambda it: setattr(it, "pre_tokenizer", _split(LLAMA3)),
    "qwen2": lambda it: (
        setattr(it, "pre_tokenizer", _split(QWEN2)),
        setattr(it, "normalizer", normalizers.NFC()),
    )[0],
}


def train_byte_level(name: str, folder: Path) -> Trained:
    backend = tokenizers.Tokenizer(models.BPE(ignore_merges=name == "llama-bpe"))
    BYTE_LEVEL[name](backend)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=1200, initial_alphabet=alphabet, special_tokens=CONTROL, show_progress=False
    )
    backend.train_from_iterator(training_text(), trainer)
    backend.add_tokens([AddedToken("<think>", special=False, normalized=False)])
    return _in_all_formats(backend, folder, {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": name}, bos=0, eos=2)


def train_sentencepiece(folder: Path, prepend_scheme: str = "first") -> Trained:
    learner = tokenizers.Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    trainer = trainers.BpeTrainer(vocab_size=900, limit_alphabet=200, show_progress=False)
    learner.train_from_iterator(training_text(), trainer)
    learnt = sorted(learner.get_vocab().items(), key=lambda item: item[1])
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *(token for token, _ in learnt)]
    # As in SentencePiece files, a piece that was learnt later has a lower score.
    scores = [0.0] * 259 + [-float(rank) for _, rank in learnt]
    tokens += ["<|im_start|>", "<|im_end|>"]
    scores += [0.0, 0.0]
    types = [2, 3, 3] + [6] * 256 + [1] * len(learnt) + [3, 3]

    from transformers import LlamaTokenizer
    from transformers.tokenization_utils_base import generate_merges

    vocabulary = {token: i for i, token in enumerate(tokens)}
    merges = generate_merges(vocabulary, dict(zip(tokens, scores, strict=True)))
    backend: tokenizers.Tokenizer = LlamaTokenizer(vocab=vocabulary, merges=merges).backend_tokenizer
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=prepend_scheme, split=False)
    backend.add_special_tokens(
        [AddedToken(text, special=True, normalized=False) for text in ["<|im_start|>", "<|im_end|>"]]
    )
    metadata = {"tokenizer.ggml.model": "llama", "tokenizer.ggml.scores": scores, "tokenizer.ggml.token_type": types}
    return _in_all_formats(backend, folder, metadata, bos=1, eos=2, unk=0)


def _in_all_formats(
    backend: tokenizers.Tokenizer, folder: Path, metadata: dict[str, Any], *, bos: int, eos: int, unk: int | None = None
) -> Trained:
    by_id = sorted(backend.get_vocab(with_added_tokens=True).items(), key=lambda item: item[1])
    tokens = [token for token, _ in by_id]
    named = {"bos_token": tokens[bos], "eos_token": tokens[eos]} | (
        {"unk_token": tokens[unk]} if unk is not None else {}
    )
    if metadata["tokenizer.ggml.model"] == "llama":
        backend.post_processor = processors.TemplateProcessing(
            single=f"{tokens[bos]} $A", pair=f"{tokens[bos]} $A $B", special_tokens=[(tokens[bos], bos)]
        )
    else:
        merges = json.loads(backend.to_str())["model"]["merges"]
        metadata["tokenizer.ggml.merges"] = [" ".join(merge) for merge in merges]
        added = backend.get_added_tokens_decoder()
        kinds = {token_id: 3 if token.special else 4 for token_id, token in added.items()}
        metadata["tokenizer.ggml.token_type"] = [kinds.get(i, 1) for i in range(len(tokens))]
        metadata["tokenizer.ggml.add_bos_token"] = False
    reference = PreTrainedTokenizerFast(tokenizer_object=backend, **named)
    reference.chat_template = CHAT_TEMPLATE
    reference.save_pretrained(folder)
    metadata |= {
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.bos_token_id": bos,
        "tokenizer.ggml.eos_token_id": eos,
        "tokenizer.chat_template": CHAT_TEMPLATE,
    }
    if unk is not None:
        metadata["tokenizer.ggml.unknown_token_id"] = unk
    return Trained(metadata, {path.name: path for path in folder.iterdir()}, reference)


@pytest.fixture(scope="session")
def texts() -> list[str]:
    return TEXTS


@pytest.fixture(scope="session")
def conversations() -> list[list[dict[str, str]]]:
    return CONVERSATIONS


@pytest.fixture(scope="session", params=[*BYTE_LEVEL, "sentencepiece"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A tokenizer of each kind in turn."""
    folder = tmp_path_factory.mktemp("tokenizer")
    if request.param == "sentencepiece":
        return train_sentencepiece(folder)
    return train_byte_level(request.param, folder)


@pytest.fixture(scope="session")
def sentencepiece(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train_sentencepiece(tmp_path_factory.mktemp("sentencepiece"))


@pytest.fixture(scope="session")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train_byte_level("gpt-2", tmp_path_factory.mktemp("gpt2"))


@pytest.fixture(scope="session")
def smollm2(smollm2_path: Path) -> Tokenizer:
    return Tokenizer.from_gguf(GGUFFile(smollm2_path).metadata)
