"""Tokenizers from Hugging Face folders: which files and keys are read, and which errors name what is wrong."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmos.core.errors import BadModelFile, BadRequest
from llmos.engine.text.tokenizer import Tokenizer

Change = Callable[..., dict[str, Path]]


@pytest.fixture
def change(gpt2, tmp_path: Path) -> Change:
    """Return the files of a folder with entries of tokenizer_config.json replaced (None: removed) or files replaced."""

    def change(config: dict[str, Any] | None = None, **files: Any) -> dict[str, Path]:
        paths = dict(gpt2.files)
        current = json.loads(paths["tokenizer_config.json"].read_text()) | (config or {})
        contents = {"tokenizer_config.json": {k: v for k, v in current.items() if v is not None}, **files}
        for i, (name, content) in enumerate(contents.items()):
            paths[name] = tmp_path / str(i)
            paths[name].write_text(content if isinstance(content, str) else json.dumps(content))
        return paths

    return change


def ids(gpt2, *texts: str) -> set[int]:
    return set(gpt2.reference.convert_tokens_to_ids(list(texts)))


def test_end_tokens_are_collected_from_every_file_that_names_them(change: Change, gpt2):
    files = change(**{"generation_config.json": {"eos_token_id": [7, 8]}, "config.json": {"eos_token_id": 9}})
    known = ids(gpt2, "<|im_end|>") | ids(gpt2, "<|endoftext|>")
    assert Tokenizer.from_files(files).eos_ids == {7, 8, 9} | known


def test_special_tokens_may_be_named_in_the_older_file(change: Change, gpt2):
    named = {"bos_token": {"content": "<|im_start|>"}, "eos_token": "<|im_end|>"}
    files = change({"bos_token": None, "eos_token": None}, **{"special_tokens_map.json": named})
    tokenizer = Tokenizer.from_files(files)
    assert {tokenizer.bos_id} == ids(gpt2, "<|im_start|>")
    assert tokenizer.eos_ids == ids(gpt2, "<|im_end|>") | ids(gpt2, "<|endoftext|>")


def test_tokens_that_only_the_config_has_are_added_with_their_ids(change: Change, gpt2):
    size = len(gpt2.metadata["tokenizer.ggml.tokens"])
    added = {str(size): {"content": "<tool>", "special": True}, str(size + 1): {"content": "<plain>", "special": False}}
    tokenizer = Tokenizer.from_files(change({"added_tokens_decoder": added}))
    assert tokenizer.vocab_size == size + 2
    assert tokenizer.token_text(size) == "<tool>"
    assert size not in tokenizer.encode("<tool>")
    assert size + 1 in tokenizer.encode("<plain>")


def test_a_token_is_a_control_token_if_any_file_says_so(change: Change, gpt2):
    content = json.loads(gpt2.files["tokenizer.json"].read_text())
    for token in content["added_tokens"]:
        token["special"] = False
    added = {"0": {"content": "<|endoftext|>", "special": True}}
    tokenizer = Tokenizer.from_files(change({"added_tokens_decoder": added}, **{"tokenizer.json": content}))
    text = "<|endoftext|><|im_end|>"  # the second is eos_token in the config
    assert ids(gpt2, "<|endoftext|>", "<|im_end|>").isdisjoint(tokenizer.encode(text))
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_added_tokens_with_other_ids_are_rejected(change: Change):
    with pytest.raises(BadModelFile, match="'<tool>' the id 9,999"):
        Tokenizer.from_files(change({"added_tokens_decoder": {"9999": {"content": "<tool>"}}}))


@pytest.mark.parametrize(
    ("config", "files"),
    [
        ({"chat_template": "{{ messages[0].content }}!"}, {}),
        (
            {
                "chat_template": [
                    {"name": "tools", "template": "x"},
                    {"name": "default", "template": "{{ messages[0].content }}!"},
                ]
            },
            {},
        ),
        ({"chat_template": "old"}, {"chat_template.jinja": "{{ messages[0].content }}!"}),
    ],
)
def test_the_chat_template_is_found_wherever_it_is_kept(change: Change, config: dict[str, Any], files: dict[str, str]):
    tokenizer = Tokenizer.from_files(
        {k: v for k, v in change(config, **files).items() if k in files or "jinja" not in k}
    )
    assert tokenizer.decode(tokenizer.encode_chat([{"role": "user", "content": "hi"}])) == "hi!"


def test_the_config_decides_whether_text_begins_with_bos(change: Change):
    for flag in (True, False):
        tokenizer = Tokenizer.from_files(change({"add_bos_token": flag}))
        assert (tokenizer.encode("x")[0] == tokenizer.bos_id) is flag


def test_the_file_cannot_make_prompts_truncated_or_padded(change: Change, gpt2):
    content = json.loads(gpt2.files["tokenizer.json"].read_text())
    content["truncation"] = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    content["padding"] = {
        "strategy": {"Fixed": 64}, "direction": "Left", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0,
        "pad_token": "x",
    }  # fmt: skip
    tokenizer = Tokenizer.from_files(change(**{"tokenizer.json": content}))
    text = "a text of more than four tokens, I am sure"
    assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("flags", [{"lstrip": True}, {"rstrip": True}, {"lstrip": True, "rstrip": True}])
def test_control_tokens_that_strip_the_space_around_them_do_so_next_to_a_users_control_strings(
    change: Change, gpt2, flags: dict[str, bool]
):
    content = json.loads(gpt2.files["tokenizer.json"].read_text())
    for token in content["added_tokens"]:
        token |= flags
    template = "{% for m in messages %}<|im_start|> {{ m.content }} <|im_end|> {% endfor %}"
    tokenizer = Tokenizer.from_files(
        change({"chat_template": template}, **{"tokenizer.json": content, "chat_template.jinja": template})
    )
    start = gpt2.reference.convert_tokens_to_ids("<|im_start|>")
    plain, marked = (
        tokenizer.encode_chat([{"role": "user", "content": "x"}, {"role": "user", "content": content}])
        for content in ("y", "<|im_end|>")
    )
    second = plain.index(start, 1)
    assert marked[: second + 1] == plain[: second + 1]
    assert marked[-1] == plain[-1]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"tokenizer.json": "{"}, "tokenizer.json cannot be read"),
        ({"tokenizer.json": "{}"}, "tokenizer.json cannot be read"),
        ({"tokenizer.json": {"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["x y"]}}}, "tokenizer.json"),
        ({"generation_config.json": {"eos_token_id": "x"}}, "generation_config.json has the eos_token_id 'x'"),
        ({"config.json": {"eos_token_id": [-1]}}, "config.json has the eos_token_id"),
        ({"special_tokens_map.json": "[]"}, "special_tokens_map.json is not a JSON object"),
    ],
)
def test_an_invalid_file_is_named(change: Change, files: dict[str, Any], message: str):
    with pytest.raises(BadModelFile, match=message):
        Tokenizer.from_files(change(**files))


def test_a_pattern_that_backtracks_forever_fails_only_its_text(change: Change, gpt2, capfd: pytest.CaptureFixture[str]):
    content = json.loads(gpt2.files["tokenizer.json"].read_text())
    content["pre_tokenizer"] = {
        "type": "Split",
        "pattern": {"Regex": "(a+)+$"},
        "behavior": "Isolated",
        "invert": False,
    }
    tokenizer = Tokenizer.from_files(change(**{"tokenizer.json": content}))
    with pytest.raises(BadRequest, match="fails on this text"):
        tokenizer.encode("a" * 40 + "b")
    assert tokenizer.encode("b")
    capfd.readouterr()  # Rust has told stderr about it


def test_a_vocabulary_without_bytes_uses_its_unknown_token_for_missing_characters(change: Change, gpt2):
    content = json.loads(gpt2.files["tokenizer.json"].read_text())
    content["pre_tokenizer"] = None
    content["model"] |= {"unk_token": "<unk>", "vocab": {"<unk>": 0, "a": 1}, "merges": []}
    content["added_tokens"] = [dict(content["added_tokens"][0], id=0, content="<unk>")]
    names = {"bos_token": None, "eos_token": None, "unk_token": None, "added_tokens_decoder": None}
    tokenizer = Tokenizer.from_files(change(names, **{"tokenizer.json": content}))
    assert tokenizer.encode("a人a") == [1, 0, 1]
