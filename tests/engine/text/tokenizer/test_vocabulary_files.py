"""Folders without tokenizer.json: their older files give transformers' tokens."""

import json
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from transformers import BertTokenizer, RobertaTokenizer

from llmos.core.errors import BadModelFile, UnsupportedModel
from llmos.engine.text.tokenizer import Tokenizer

from .conftest import CHAT_TEMPLATE, TEXTS, Trained, train_byte_level, train_sentencepiece


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def field(number: int, value: int | float | bytes) -> bytes:
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    return varint(number << 3) + varint(value)


def sentencepiece_file(metadata: dict[str, Any], *, kind: int = 2, adds_space: bool = True, eos_id: int = 2) -> bytes:
    """Write a vocabulary as SentencePiece does, from the metadata of a GGUF file."""
    vocabulary = zip(
        metadata["tokenizer.ggml.tokens"],
        metadata["tokenizer.ggml.scores"],
        metadata["tokenizer.ggml.token_type"],
        strict=True,
    )
    pieces = [field(1, token.encode()) + field(2, score) + field(3, type_) for token, score, type_ in vocabulary]
    trainer = field(3, kind) + field(35, 1) + field(40, 0) + field(41, 1) + field(42, eos_id)
    return b"".join(field(1, piece) for piece in pieces) + field(2, trainer) + field(3, field(3, int(adds_space)))


def write(folder: Path, **files: object) -> dict[str, Path]:
    """Write files, whose suffix is after a double underscore, and return their paths by name."""
    paths = {name.replace("__", "."): folder / name for name in files}
    for (name, path), content in zip(paths.items(), files.values(), strict=True):
        path.parent.mkdir(exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        assert name
    return paths


def byte_level_files(trained: Trained) -> dict[str, object]:
    model = json.loads(trained.files["tokenizer.json"].read_text())
    merges = "#version: 0.2\n" + "\n".join(" ".join(merge) for merge in model["model"]["merges"]) + "\n"
    added = {token["content"]: token["id"] for token in model["added_tokens"]}
    config = json.loads(trained.files["tokenizer_config.json"].read_text())
    return {
        "vocab__json": model["model"]["vocab"],
        "merges__txt": merges,
        "added_tokens__json": added,
        "tokenizer_config__json": {"eos_token": config["eos_token"], "bos_token": config["bos_token"]},
    }


@pytest.mark.parametrize("prepend_scheme", ["first", "always", "never"])
def test_a_sentencepiece_vocabulary_gives_the_same_tokens(tmp_path, prepend_scheme):
    trained = train_sentencepiece(tmp_path / "trained", prepend_scheme)
    data = sentencepiece_file(trained.metadata, adds_space=prepend_scheme != "never")
    config = {"chat_template": CHAT_TEMPLATE, "legacy": prepend_scheme == "always"}
    ours = Tokenizer.from_files(write(tmp_path, tokenizer__model=data, tokenizer_config__json=config))
    for text in TEXTS:
        assert ours.encode(text, add_bos=False) == trained.expected(text), text
    assert ours.bos_id == 1
    assert 2 in ours.eos_ids
    assert ours.encode("a")[0] == 1
    conversation = [{"role": "user", "content": "Hello there"}]
    expected = trained.reference.apply_chat_template(conversation, add_generation_prompt=True, return_dict=False)
    assert ours.encode_chat(conversation) == expected
    assert ours.decode(ours.encode("Hello  there")) == "Hello  there"


def test_a_sentencepiece_vocabulary_of_another_kind_says_how_to_convert_it(tmp_path, sentencepiece):
    files = write(tmp_path, tokenizer__model=sentencepiece_file(sentencepiece.metadata, kind=3))
    with pytest.raises(UnsupportedModel, match=r"neither a byte-pair encoding nor of unigrams.*AutoTokenizer"):
        Tokenizer.from_files(files)


UNIGRAMS = {
    "<unk>": (0.0, 2), "<s>": (0.0, 3), "</s>": (0.0, 3), "▁": (-2.0, 1), "▁river": (-4.0, 1), "▁riv": (-3.5, 1),
    "er": (-2.5, 1), "s": (-2.0, 1), "r": (-5.0, 1), "i": (-5.0, 1), "v": (-5.0, 1), "e": (-5.0, 1), "▁r": (-4.5, 1),
    "ers": (-3.0, 1), "<sep>": (0.0, 4), **{f"<0x{byte:02X}>": (-9.0, 6) for byte in range(256)},
}  # fmt: skip
"""Pieces with their scores and types."""


def likeliest(text: str) -> list[str]:
    """Cut a text into the pieces with the largest sum of scores, by trying all ways."""
    best: list[tuple[float, list[str]]] = [(0.0, [])]
    for end in range(1, len(text) + 1):
        found = [
            (best[begin][0] + UNIGRAMS[text[begin:end]][0], [*best[begin][1], text[begin:end]])
            for begin in range(end)
            if UNIGRAMS.get(text[begin:end], (0.0, 0))[1] == 1
        ]
        best.append(max(found))
    return best[-1][1]


def test_a_vocabulary_of_unigrams_takes_the_likeliest_pieces(tmp_path):
    metadata = {
        "tokenizer.ggml.tokens": [*UNIGRAMS],
        "tokenizer.ggml.scores": [score for score, _ in UNIGRAMS.values()],
        "tokenizer.ggml.token_type": [type_ for _, type_ in UNIGRAMS.values()],
    }
    ours = Tokenizer.from_files(write(tmp_path, tokenizer__model=sentencepiece_file(metadata, kind=1)))

    def pieces(text: str) -> list[str]:
        return [[*UNIGRAMS][token] for token in ours.encode(text, add_bos=False)]

    for text in ("rivers", "river rivers", "sir", "vie", "rivers  is"):
        assert pieces(text) == likeliest("▁" + " ".join(text.split()).replace(" ", "▁")), text
    assert pieces(" rivers ") == pieces("rivers"), "spaces around a text are removed"
    assert pieces("é") == ["▁", "<0xC3>", "<0xA9>"]
    assert ours.decode(ours.encode("rivers é")) == "rivers é"
    assert ours.encode("river")[0] == ours.bos_id == 1
    assert 2 not in ours.encode("</s>"), "a control token never comes out of a text"


def cuts(data: bytes) -> Iterable[bytes]:
    yield b"PK\x03\x04"
    yield b"<html>Not found</html>"
    yield data[: len(data) // 2 - 1]
    yield b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"


def test_a_damaged_sentencepiece_vocabulary_is_rejected(tmp_path, sentencepiece):
    for data in (*cuts(sentencepiece_file(sentencepiece.metadata)), b""):
        with pytest.raises(BadModelFile, match=r"tokenizer\.model"):
            Tokenizer.from_files(write(tmp_path, tokenizer__model=data))


@pytest.mark.parametrize(
    ("kind", "config", "model"),
    [
        ("gpt-2", {"tokenizer_class": "GPT2Tokenizer"}, {}),
        ("gpt-2", {}, {"model_type": "gpt2"}),
        ("qwen2", {"tokenizer_class": "Qwen2TokenizerFast"}, {}),
        ("qwen2", {}, {"model_type": "qwen3"}),
    ],
)
def test_a_byte_level_vocabulary_gives_the_same_tokens(tmp_path, kind, config, model):
    trained = train_byte_level(kind, tmp_path / "trained")
    files = byte_level_files(trained)
    files["tokenizer_config__json"] |= config
    ours = Tokenizer.from_files(write(tmp_path, **files, config__json=model))
    for text in TEXTS:
        assert ours.encode(text, add_bos=False) == trained.expected(text), text


def test_a_robertas_texts_are_framed(tmp_path, gpt2):
    files = byte_level_files(gpt2)
    size = len(gpt2.metadata["tokenizer.ggml.tokens"])
    vocabulary = files["vocab__json"] | {"<s>": size, "</s>": size + 1}
    config = {"tokenizer_class": "RobertaTokenizer", "bos_token": "<s>", "eos_token": "</s>"}
    merges = [tuple(line.split(" ")) for line in files["merges__txt"].splitlines()[1:]]
    reference = RobertaTokenizer(vocab=vocabulary, merges=merges)
    changed = {"vocab__json": vocabulary, "tokenizer_config__json": config, "added_tokens__json": {}}
    ours = Tokenizer.from_files(write(tmp_path, **files | changed))
    begin, end = ours.affixes
    for text in ["Hello world", "it's 3.5"]:
        assert [*begin, *ours.encode(text, add_bos=False), *end] == reference(text)["input_ids"]


@pytest.mark.parametrize("config", [{}, {"do_lower_case": False}, {"do_lower_case": True, "strip_accents": False}])
def test_a_wordpiece_vocabulary_gives_the_same_tokens(tmp_path, config):
    letters = sorted({character for text in TEXTS for character in text.lower() + text if character.strip()})
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "mean", "##ing", "of", "It", "it"]
    words += [*letters, *(f"##{letter}" for letter in letters)]
    vocabulary = {word: i for i, word in enumerate(dict.fromkeys(words))}
    reference = BertTokenizer(vocab=vocabulary, **config)
    ours = Tokenizer.from_files(write(tmp_path, vocab__txt="\n".join(vocabulary) + "\n", tokenizer_config__json=config))
    begin, end = ours.affixes
    for text in TEXTS:
        expected = reference(text, split_special_tokens=True)["input_ids"]
        assert [*begin, *ours.encode(text, add_bos=False), *end] == expected, text


def test_a_class_that_splits_text_in_its_own_way_is_rejected_by_name(tmp_path, gpt2):
    files = byte_level_files(gpt2) | {"tokenizer_config__json": {"tokenizer_class": "LlamaTokenizer"}}
    with pytest.raises(UnsupportedModel, match=r"'LlamaTokenizer'.*AutoTokenizer"):
        Tokenizer.from_files(write(tmp_path, **files))


def test_a_folder_without_a_vocabulary_says_which_files_hold_one(tmp_path):
    with pytest.raises(UnsupportedModel, match=r"tokenizer\.json is missing.*vocab\.txt"):
        Tokenizer.from_files(write(tmp_path, config__json={}))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("vocab__json", {"a": "b"}, r"vocab\.json"),
        ("merges__txt", "a b c\n", r"merges\.txt has a line"),
        ("merges__txt", "Ġnever Ġthere\n", "don't fit together"),
        ("added_tokens__json", {"<new>": 7}, r"added_tokens\.json gives '<new>' the id 7"),
    ],
)
def test_damaged_files_are_rejected_by_name(tmp_path, gpt2, name, content, message):
    files = byte_level_files(gpt2) | {name: content}
    with pytest.raises(BadModelFile, match=message):
        Tokenizer.from_files(write(tmp_path, **files, config__json={"model_type": "gpt2"}))


NAMED = [
    {"name": "default", "template": "{{ messages[0].content }}"},
    {"name": "tool_use", "template": "{{ tools | length }} tools: {{ messages[0].content }}"},
]


def test_the_named_template_for_tools_renders_conversations_with_tools(tmp_path, gpt2):
    plain = {name: path for name, path in gpt2.files.items() if name != "chat_template.jinja"}
    folder = {**plain, **write(tmp_path, tokenizer_config__json={"chat_template": NAMED})}
    in_files = {
        **plain,
        **write(tmp_path / "files", chat_template=NAMED[0]["template"], tool_use=NAMED[1]["template"]),
    }
    in_files["chat_template.jinja"] = in_files.pop("chat_template")
    in_files["additional_chat_templates/tool_use.jinja"] = in_files.pop("tool_use")
    metadata = gpt2.metadata | {
        "tokenizer.chat_template": NAMED[0]["template"],
        "tokenizer.chat_template.tool_use": NAMED[1]["template"],
    }
    messages, variables = [{"role": "user", "content": "Hi"}], {"tools": [{}, {}]}
    for tokenizer in (Tokenizer.from_files(folder), Tokenizer.from_files(in_files), Tokenizer.from_gguf(metadata)):
        assert tokenizer.decode(tokenizer.encode_chat(messages)) == "Hi"
        with_tools = tokenizer.encode_chat(messages, variables=variables, with_tools=True)
        assert tokenizer.decode(with_tools) == "2 tools: Hi"
        assert tokenizer.template_text(with_tools=True) == NAMED[1]["template"]
