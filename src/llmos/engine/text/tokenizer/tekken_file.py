"""Reads tekken.json, Mistral's vocabulary of bytes: merges by rank, a split by an expression, control tokens first.

config            the expression, the number of tokens and of control tokens, the version of the chat format
vocab             the bytes of each token, by rank; its id is the rank plus the number of control tokens
special_tokens    control tokens; unnamed ones are called <SPECIAL_20> and so on

Source of the layout: the documentation of mistral_common's Tekkenizer.
"""

from base64 import b64decode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors

from llmos.core.errors import BadModelFile, UnsupportedModel
from llmos.engine.formats.json_file import read_json_object
from llmos.engine.text.tokenizer.library import library_errors
from llmos.engine.text.tokenizer.pieces import BYTE_CHARACTERS

NAME = "tekken.json"
MAX_TOKENS = 1 << 21
MAX_PATTERN_LENGTH = 4096

_FIRST_CONTROL = (
    "<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]", "[PREFIX]", "[MIDDLE]", "[SUFFIX]",
    "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]",
)  # fmt: skip
"""The control tokens of files that don't list theirs, of versions up to 7."""

_TEMPLATE = """\
{%- if tools %}{{ raise_exception("The model's files have no chat template for tools. Leave `tools` out.") }}{% endif %}
{{- bos_token }}
{%- for message in messages %}
{%- if message.role == "system" %}[SYSTEM_PROMPT]{{ message.content }}[/SYSTEM_PROMPT]
{%- elif message.role == "user" %}[INST]{{ message.content }}[/INST]
{%- elif message.role == "assistant" %}{{ message.content }}{{ eos_token }}
{%- else %}{{ raise_exception("Messages may have the roles system, user and assistant.") }}
{%- endif %}{% endfor %}"""
"""The chat format of versions from 7 on."""


def backend_from_tekken(path: Path) -> tuple[Tokenizer, dict[str, str]]:
    """Return the backend, and the special tokens and the chat template of the file's version, by their names in
    tokenizer_config.json. Raises BadModelFile and UnsupportedModel.
    """
    values = read_json_object(path, NAME)
    config = values.get("config")
    if not isinstance(config, Mapping):
        raise BadModelFile(f"{NAME} has no config.")
    control = _control_tokens(values.get("special_tokens"), _count(config, "default_num_special_tokens"))
    num_tokens = _count(config, "default_vocab_size") - len(control)
    ranks = _ranks(values.get("vocab"), num_tokens)
    tokens = [*control, *map(_text, ranks)]
    vocabulary = {text: i for i, text in enumerate(tokens)}
    if len(vocabulary) != len(tokens):
        raise BadModelFile(f"{NAME} has a token twice.")
    pattern = config.get("pattern")
    if not isinstance(pattern, str) or not 0 < len(pattern) <= MAX_PATTERN_LENGTH:
        raise BadModelFile(f"{NAME} has no expression that splits text (pattern).")
    with library_errors(lambda error: BadModelFile(f"{NAME} cannot be used: {error}.")):
        backend = Tokenizer(models.BPE(vocab=vocabulary, merges=_merges(ranks), ignore_merges=True))
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in control])
    if "<s>" in vocabulary:
        backend.post_processor = processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", vocabulary["<s>"])]
        )
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    special = {name: text for name, text in names.items() if text in vocabulary}
    if "[SYSTEM_PROMPT]" in vocabulary and _number_of(config.get("version")) >= 7:
        special["chat_template"] = _TEMPLATE
    return backend, special


def _control_tokens(listed: Any, count: int) -> list[str]:
    """Return the texts of the control tokens by id."""
    entries = [{"rank": i, "token_str": text} for i, text in enumerate(_FIRST_CONTROL)] if listed is None else listed
    texts = [f"<SPECIAL_{i}>" for i in range(count)]
    for entry in entries if isinstance(entries, list) else [None]:
        rank, text = (entry.get("rank"), entry.get("token_str")) if isinstance(entry, Mapping) else (None, None)
        if type(rank) is not int or not 0 <= rank < count or not isinstance(text, str) or not text:
            raise BadModelFile(f"{NAME} has a control token without a text, or with a rank beyond {count - 1:,}.")
        texts[rank] = text
    return texts


def _ranks(entries: Any, count: int) -> list[bytes]:
    """Return the bytes of each token by rank."""
    if not isinstance(entries, list) or len(entries) < count:
        raise BadModelFile(f"{NAME} has fewer than the {count:,} tokens that its config says.")
    pieces: list[bytes] = []
    for rank, entry in enumerate(entries[:count]):
        try:
            piece = b64decode(entry["token_bytes"], validate=True)
        except (TypeError, KeyError, ValueError):
            raise BadModelFile(f"{NAME} has no bytes for the token of rank {rank:,}.") from None
        if entry.get("rank") != rank or not piece or (rank < 256 and piece != bytes([rank])):
            raise BadModelFile(f"{NAME} lists its tokens in another order than by rank, or not all single bytes first.")
        pieces.append(piece)
    return pieces


def _merges(ranks: list[bytes]) -> list[tuple[str, str]]:
    """Return the merges that give these tokens: all ways to join two tokens into a third, the lowest rank first."""
    known = {piece: rank for rank, piece in enumerate(ranks)}
    merges: list[tuple[str, str]] = []
    for piece in ranks:
        splits = [(piece[:i], piece[i:]) for i in range(1, len(piece))]
        pairs = sorted((known[left], known[right]) for left, right in splits if left in known and right in known)
        merges += [(_text(ranks[left]), _text(ranks[right])) for left, right in pairs]
    return merges


def _text(piece: bytes) -> str:
    return "".join(BYTE_CHARACTERS[byte] for byte in piece)


def _count(config: Mapping[str, Any], name: str) -> int:
    value = config.get(name)
    if type(value) is not int or not 0 < value <= MAX_TOKENS:
        raise BadModelFile(f"{NAME}: {name} must be a whole number from 1 to {MAX_TOKENS:,}.")
    return value


def _number_of(version: Any) -> int:
    """Return the number in a version such as v13. Raises UnsupportedModel for another one."""
    digits = version[1:] if isinstance(version, str) and version.startswith("v") else ""
    if not digits.isdecimal() or len(digits) > 4:
        raise UnsupportedModel(f"{NAME} has the version {version!r:.40}, which this engine doesn't know.")
    return int(digits)
