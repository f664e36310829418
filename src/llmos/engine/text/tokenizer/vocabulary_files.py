"""Backends for Hugging Face folders without tokenizer.json, from the older files that hold only the vocabulary.

tekken.json                  Mistral's vocabulary of bytes (tekken_file.py)
tokenizer.model              SentencePiece's byte-pair encoding: Llama, Mistral, Gemma, Phi 3 …; or its unigrams
vocab.json and merges.txt    byte-level byte-pair encoding: GPT-2, RoBERTa, Qwen 2 …
vocab.txt                    WordPiece: BERT, DistilBERT …

These files don't say how text is split or framed. As in transformers, the tokenizer's class decides.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from llmos.core.errors import BadModelFile, UnsupportedModel
from llmos.engine.formats.json_file import read_json_object, read_text
from llmos.engine.text.tokenizer.from_gguf import parts_from_gguf
from llmos.engine.text.tokenizer.library import library_errors
from llmos.engine.text.tokenizer.pieces import SPACE
from llmos.engine.text.tokenizer.sentencepiece_file import (
    BPE,
    CONTROL,
    UNIGRAM,
    SentencePieceModel,
    read_sentencepiece,
)
from llmos.engine.text.tokenizer.splits import QWEN2
from llmos.engine.text.tokenizer.tekken_file import NAME as TEKKEN_NAME
from llmos.engine.text.tokenizer.tekken_file import backend_from_tekken
from llmos.engine.text.tokenizer.unigrams import sentencepiece_normalizers, unigrams

_SAVE = "Save it beside the weights: AutoTokenizer.from_pretrained(folder).save_pretrained(folder)."

_GPT2, _ROBERTA, _QWEN2 = "gpt2", "roberta", "qwen2"
_BYTE_LEVEL = {
    "GPT2Tokenizer": _GPT2,
    "CodeGenTokenizer": _GPT2,
    "RobertaTokenizer": _ROBERTA,
    "Qwen2Tokenizer": _QWEN2,
}
"""The splits and frames of each class of tokenizers."""
_BYTE_LEVEL_FAMILIES = {"gpt2": _GPT2, "phi": _GPT2, "roberta": _ROBERTA, "qwen2": _QWEN2, "qwen3": _QWEN2}
"""The same by config.json's model_type, for folders whose files name no class."""


def backend_from_vocabulary(
    files: Mapping[str, Path], config: Mapping[str, Any], model: Mapping[str, Any]
) -> tuple[Tokenizer, dict[str, str]]:
    """Build the backend of a folder without tokenizer.json, and the special tokens that its class has by default.

    `config`: tokenizer_config.json. `model`: config.json. Raises UnsupportedModel, with the way to a tokenizer.json,
    where there is no vocabulary or its class is unknown, and BadModelFile for damaged files.
    """
    if TEKKEN_NAME in files:
        backend, defaults = backend_from_tekken(files[TEKKEN_NAME])
    elif "tokenizer.model" in files:
        backend, defaults = _sentencepiece(files["tokenizer.model"], config)
    elif "vocab.json" in files and "merges.txt" in files:
        backend, defaults = _byte_level(files, config, model)
    elif "vocab.txt" in files:
        backend, defaults = _wordpiece(files["vocab.txt"], config), {}
    else:
        raise UnsupportedModel(
            "The folder has no tokenizer: tokenizer.json is missing, and there is neither a tekken.json, nor"
            f" a tokenizer.model, nor vocab.json with merges.txt, nor a vocab.txt. {_SAVE}"
        )
    if "added_tokens.json" in files:
        _add_tokens(backend, read_json_object(files["added_tokens.json"], "added_tokens.json"))
    return backend, defaults


def _sentencepiece(path: Path, config: Mapping[str, Any]) -> tuple[Tokenizer, dict[str, str]]:
    model = read_sentencepiece(path, "tokenizer.model")
    if model.kind not in (BPE, UNIGRAM):
        raise UnsupportedModel(
            "tokenizer.model is neither a byte-pair encoding nor of unigrams, and only from a tokenizer.json can this"
            f" engine read others. {_SAVE}"
        )
    adds_space = config.get("add_prefix_space")
    adds_space = adds_space if isinstance(adds_space, bool) else model.adds_space
    size = len(model.pieces)
    backend = _byte_pairs(model, adds_space=adds_space) if model.kind == BPE else unigrams(model, "tokenizer.model")
    if model.kind == BPE and adds_space and config.get("legacy") is True:
        backend.pre_tokenizer = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="always", split=False)
    if before := sentencepiece_normalizers(model, "tokenizer.model", adds_space=adds_space):
        backend.normalizer = normalizers.Sequence(before)
    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    backend.decoder = decoders.Sequence([*steps, *([decoders.Strip(" ", 1, 0)] if adds_space else [])])
    ids = {"bos_token": model.bos_id, "eos_token": model.eos_id, "unk_token": model.unknown_id}
    special = {name: model.pieces[token_id] for name, token_id in ids.items() if 0 <= token_id < size}
    if (bos := special.get("bos_token")) is not None and model.types[model.bos_id] == CONTROL:
        backend.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A $B", special_tokens=[(bos, model.bos_id)]
        )
    return backend, special


def _byte_pairs(model: SentencePieceModel, *, adds_space: bool) -> Tokenizer:
    return parts_from_gguf(
        {
            "tokenizer.ggml.model": "llama",
            "tokenizer.ggml.tokens": model.pieces,
            "tokenizer.ggml.scores": model.scores,
            "tokenizer.ggml.token_type": model.types,
            "tokenizer.ggml.unknown_token_id": model.unknown_id if 0 <= model.unknown_id < len(model.pieces) else None,
            "tokenizer.ggml.add_space_prefix": adds_space,
        }
    ).backend


def _byte_level(
    files: Mapping[str, Path], config: Mapping[str, Any], model: Mapping[str, Any]
) -> tuple[Tokenizer, dict[str, str]]:
    named = config.get("tokenizer_class")
    if isinstance(named, str):
        kind = _BYTE_LEVEL.get(named.removesuffix("Fast"))
    else:
        named = str(model.get("model_type"))
        kind = _BYTE_LEVEL_FAMILIES.get(named)
    if kind is None:
        raise UnsupportedModel(
            f"vocab.json and merges.txt don't say how a tokenizer of the class {named!r:.60} splits text; a"
            f" tokenizer.json does. {_SAVE}"
        )
    vocabulary = _vocabulary(files["vocab.json"])
    lines = read_text(files["merges.txt"], "merges.txt").splitlines()
    pairs = [line.split(" ") for line in lines if line and not line.startswith("#version")]
    if not all(len(pair) == 2 for pair in pairs):
        raise BadModelFile("merges.txt has a line that is not two tokens with a space between.")
    merges = [(left, right) for left, right in pairs]
    with library_errors(lambda error: BadModelFile(f"vocab.json and merges.txt don't fit together: {error}.")):
        backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    begins_with_space = config.get("add_prefix_space") is True
    if kind == _QWEN2:
        backend.normalizer = normalizers.NFC()
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(QWEN2), behavior="isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=begins_with_space, use_regex=False),
            ]
        )
    else:
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=begins_with_space)
    backend.decoder = decoders.ByteLevel()
    if kind == _ROBERTA:
        _frame(backend, _text(config, "cls_token", "<s>"), _text(config, "sep_token", "</s>"))
        special = {"unk_token": "<unk>", "pad_token": "<pad>"}
    else:
        special = {"eos_token": "<|endoftext|>"}
        if kind == _GPT2:
            special |= {"bos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
    return backend, {name: text for name, text in special.items() if text in vocabulary}


def _wordpiece(path: Path, config: Mapping[str, Any]) -> Tokenizer:
    words = read_text(path, "vocab.txt").split("\n")
    vocabulary = {word.rstrip("\r"): i for i, word in enumerate(words[:-1] if words[-1] == "" else words)}
    unknown = _text(config, "unk_token", "[UNK]")
    if unknown not in vocabulary:
        raise BadModelFile(f"vocab.txt has no {unknown}, so it is not the vocabulary of this WordPiece tokenizer.")
    strips_accents = config.get("strip_accents")
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token=unknown))
    backend.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=config.get("tokenize_chinese_chars") is not False,
        strip_accents=strips_accents if isinstance(strips_accents, bool) else None,
        lowercase=config.get("do_lower_case") is not False,
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(prefix="##")
    special = [_text(config, name, text) for name, text in _WORDPIECE_SPECIAL.items()]
    known = [text for text in special if text in vocabulary]
    backend.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in known])
    _frame(backend, _text(config, "cls_token", "[CLS]"), _text(config, "sep_token", "[SEP]"))
    return backend


_WORDPIECE_SPECIAL = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}


def _frame(backend: Tokenizer, begin: str, end: str) -> None:
    """Let each text begin and end with these tokens."""
    tokens = [(text, backend.token_to_id(text)) for text in (begin, end)]
    if missing := [text for text, token_id in tokens if token_id is None]:
        raise BadModelFile(f"The vocabulary has no {' and no '.join(missing)}, which frame each text.")
    backend.add_special_tokens([AddedToken(text, special=True, normalized=False) for text, _ in tokens])
    backend.post_processor = processors.TemplateProcessing(
        single=f"{begin}:0 $A:0 {end}:0", pair=f"{begin}:0 $A:0 {end}:0 $B:1 {end}:1", special_tokens=tokens
    )


def _vocabulary(path: Path) -> dict[str, int]:
    vocabulary = read_json_object(path, "vocab.json")
    if not vocabulary or not all(type(token_id) is int and 0 <= token_id < 1 << 31 for token_id in vocabulary.values()):
        raise BadModelFile("vocab.json does not give an id for each token.")
    return vocabulary


def _add_tokens(backend: Tokenizer, added: Mapping[str, Any]) -> None:
    """Add the tokens of added_tokens.json. Raises BadModelFile if they can't have the ids that it gives."""
    entries = [(token_id, text) for text, token_id in added.items() if type(token_id) is int]
    for token_id, text in sorted(entries):
        if text and backend.token_to_id(text) is None:
            backend.add_tokens([AddedToken(text, special=False, normalized=False)])
        if text and backend.token_to_id(text) != token_id:
            raise BadModelFile(
                f"added_tokens.json gives {text!r:.60} the id {token_id:,}; with the vocabulary it is"
                f" {backend.token_to_id(text)}."
            )


def _text(config: Mapping[str, Any], name: str, default: str) -> str:
    """Return the text of a token of tokenizer_config.json, which is a string or an object with its content."""
    token = config.get(name)
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) and content else default
