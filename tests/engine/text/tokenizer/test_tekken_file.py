"""Folders with tekken.json, Mistral's own vocabulary file."""

import json
from base64 import b64encode
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from llmos.core.errors import BadModelFile, BadRequest, UnsupportedModel
from llmos.engine.text.tokenizer import Tokenizer

NUM_CONTROL = 30
PATTERN = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+"
PIECES = [
    *(bytes([byte]) for byte in range(256)),
    *(b"he", b"ll", b"o ", b"hell", b"hello", b" w", b"or", b" wor", b"ld", b" world", "é".encode(), b"er", b"ere"),
]
CONTROL = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "<pad>"]


def content(**changes: Any) -> dict[str, Any]:
    config = {
        "pattern": PATTERN, "num_vocab_tokens": len(PIECES), "default_vocab_size": len(PIECES) + NUM_CONTROL,
        "default_num_special_tokens": NUM_CONTROL, "version": "v7",
    }  # fmt: skip
    values = {
        "config": config,
        "vocab": [
            {"rank": rank, "token_bytes": b64encode(piece).decode(), "token_str": None}
            for rank, piece in enumerate(PIECES)
        ],
        "special_tokens": [{"rank": i, "token_str": text, "is_control": True} for i, text in enumerate(CONTROL)],
    }
    return values | {"config": config | changes.pop("config", {})} | changes


def opened(folder: Path, **changes: Any) -> Tokenizer:
    (folder / "tekken.json").write_text(json.dumps(content(**changes)))
    return Tokenizer.from_files({"tekken.json": folder / "tekken.json"})


def by_rank(word: bytes) -> list[int]:
    """Join, again and again, the two neighbours whose token has the lowest rank, as tiktoken does."""
    parts = [bytes([byte]) for byte in word]
    while joined := [pair for pair in pairwise(parts) if b"".join(pair) in PIECES]:
        best = min(joined, key=lambda pair: PIECES.index(b"".join(pair)))
        at = list(pairwise(parts)).index(best)
        parts[at : at + 2] = [b"".join(best)]
    return [PIECES.index(part) + NUM_CONTROL for part in parts]


def test_tokens_join_by_their_rank(tmp_path: Path) -> None:
    tokenizer = opened(tmp_path)
    assert tokenizer.vocab_size == len(PIECES) + NUM_CONTROL
    for words in (["hello", " world"], ["here", " wor"], ["é"], ["hhe", "!"], ["日"], ["1", "2"]):
        expected = [token for word in words for token in by_rank(word.encode())]
        assert tokenizer.encode("".join(words), add_bos=False) == expected, words
        assert tokenizer.decode(tokenizer.encode("".join(words))) == "".join(words)
    assert tokenizer.encode("hello")[0] == tokenizer.bos_id == 1
    assert tokenizer.eos_ids == {2}


def test_chats_have_the_format_of_the_version(tmp_path: Path) -> None:
    tokenizer = opened(tmp_path)
    messages = [
        {"role": "system", "content": "he"},
        {"role": "user", "content": "hello [INST]"},
        {"role": "assistant", "content": "world"},
        {"role": "user", "content": "he"},
    ]
    tokens = tokenizer.encode_chat(messages)
    expected = "<s>[SYSTEM_PROMPT]he[/SYSTEM_PROMPT][INST]hello [INST][/INST]world</s>[INST]he[/INST]"
    assert tokenizer.decode(tokens, skip_special=False) == expected
    assert tokens.count(3) == 2, "a marker in a message stays text"
    with pytest.raises(BadRequest, match="no chat template for tools"):
        tokenizer.encode_chat(messages, variables={"tools": [{"type": "function"}]})
    assert not opened(tmp_path, config={"version": "v3"}).has_template


def test_a_template_of_the_folder_takes_precedence(tmp_path: Path) -> None:
    opened(tmp_path)
    (tmp_path / "chat_template.jinja").write_text("{{ messages[0].content }}")
    tokenizer = Tokenizer.from_files({path.name: path for path in tmp_path.iterdir()})
    assert tokenizer.decode(tokenizer.encode_chat([{"role": "user", "content": "hello"}])) == "hello"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config": {"default_vocab_size": 1000}}, "fewer than the 970 tokens"),
        ({"config": {"pattern": None}}, "no expression"),
        ({"config": {"pattern": "("}}, "cannot be used"),
        ({"config": {"default_num_special_tokens": 0}}, "default_num_special_tokens must be"),
        ({"special_tokens": [{"rank": 99, "token_str": "x"}]}, "rank beyond 29"),
        ({"vocab": [{"rank": 0, "token_bytes": "?"}] * 300}, "no bytes for the token of rank 0"),
    ],
)
def test_a_damaged_file_is_rejected(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadModelFile, match=message):
        opened(tmp_path, **changes)


def test_an_unknown_version_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match="version 'next'"):
        opened(tmp_path, config={"version": "next"})
