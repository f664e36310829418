"""A tokenizer from a Hugging Face folder.

tokenizer.json             the vocabulary and how text becomes tokens; without it, older files (vocabulary_files.py)
tokenizer_config.json      the BOS and EOS tokens, further added tokens, perhaps the chat template
special_tokens_map.json    the same, in older folders
chat_template.jinja        the chat template, in newer folders
additional_chat_templates  the chat template for conversations with tools
generation_config.json, config.json    the tokens that end an answer
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken

from llmos.core.errors import BadModelFile
from llmos.engine.formats.json_file import read_json_object, read_text
from llmos.engine.text.tokenizer.control_tokens import end_texts, written_by_template
from llmos.engine.text.tokenizer.library import library_errors
from llmos.engine.text.tokenizer.parts import TokenizerParts
from llmos.engine.text.tokenizer.pieces import piece_decoder_of
from llmos.engine.text.tokenizer.vocabulary_files import backend_from_vocabulary

MAX_TOKENIZER_BYTES = 1 << 27

TEMPLATE_FILES = {"default": "chat_template.jinja", "tool_use": "additional_chat_templates/tool_use.jinja"}
"""The files of chat templates by name."""

_NAMES = ("bos_token", "eos_token", "unk_token", "pad_token")


def parts_from_files(files: Mapping[str, Path]) -> TokenizerParts:
    """Build a tokenizer's parts. Raises BadModelFile for invalid files and UnsupportedModel for an unknown kind."""
    config, special_map, generation, model = (
        read_json_object(files[name], name) if name in files else {}
        for name in ("tokenizer_config.json", "special_tokens_map.json", "generation_config.json", "config.json")
    )
    if "tokenizer.json" in files:
        backend = _backend(files["tokenizer.json"])
    else:
        backend, defaults = backend_from_vocabulary(files, config, model)
        config = {**defaults, **config}
    templates = _templates(files, config)
    _add_tokens(backend, config)
    variables = {name: text for name in _NAMES if (text := _content(config.get(name, special_map.get(name))))}
    extra = special_map.get("additional_special_tokens") or config.get("additional_special_tokens") or []
    texts = [*variables.values(), *filter(None, map(_content, extra if isinstance(extra, list) else []))]
    ends = end_texts(backend.get_vocab())
    listed: set[int | None] = set()
    for source, settings in (("generation_config.json", generation), ("config.json", model)):
        listed |= _token_ids(settings.get("eos_token_id"), source)
    # An ordinary word may end answers, too, but texts may have it.
    added = backend.get_added_tokens_decoder()
    texts += [*ends, *(added[token_id].content for token_id in listed if token_id in added)]
    known = {token.content for token in added.values() if token.special}
    backend.add_special_tokens(
        [AddedToken(text, special=True, normalized=False) for text in dict.fromkeys(texts) if text not in known]
    )

    added = backend.get_added_tokens_decoder()
    vocab_size = max(backend.get_vocab_size(with_added_tokens=False), max(added, default=-1) + 1)
    named = {name: backend.token_to_id(text) for name, text in variables.items()}
    eos_ids = {named.get("eos_token"), *listed, *map(backend.token_to_id, ends)}
    all_templates = "".join(templates.get(name, "") for name in TEMPLATE_FILES)
    plain = {token.content: token_id for token_id, token in added.items() if not token.special}
    bos_id = named.get("bos_token")
    adds_bos = config.get("add_bos_token")
    if not isinstance(adds_bos, bool):
        with library_errors(lambda error: BadModelFile(f"tokenizer.json cannot be used: {error}.")):
            adds_bos = bos_id is not None and bos_id in backend.encode("").ids
    # The token that the vocabulary uses for characters without one, whatever the config calls unknown.
    unknown = getattr(backend.model, "unk_token", None) or variables.get("unk_token")
    return TokenizerParts(
        backend=backend,
        piece_decoder=piece_decoder_of(backend.decoder),
        vocab_size=vocab_size,
        token_text=backend.id_to_token,
        control={token.content: token_id for token_id, token in added.items() if token.special},
        written={text: plain[text] for text in written_by_template(plain, (), all_templates)},
        bos_id=bos_id,
        eos_ids=frozenset(token_id for token_id in eos_ids if token_id is not None),
        unknown_id=backend.token_to_id(unknown) if isinstance(unknown, str) else None,
        adds_bos=adds_bos,
        template=templates.get("default"),
        tool_template=templates.get("tool_use"),
        template_variables=variables,
    )


def read_template(files: Mapping[str, Path]) -> str | None:
    """Return the folder's chat template without loading the tokenizer."""
    name = "tokenizer_config.json"
    return _templates(files, read_json_object(files[name], name) if name in files else {}).get("default")


def _backend(path: Path) -> tokenizers.Tokenizer:
    text = read_text(path, "tokenizer.json", MAX_TOKENIZER_BYTES)
    with library_errors(lambda error: BadModelFile(f"tokenizer.json cannot be read: {error}.")):
        backend = tokenizers.Tokenizer.from_str(text)
    # A prompt is never truncated silently, whatever the file's defaults.
    backend.no_truncation()
    backend.no_padding()
    return backend


def _add_tokens(backend: tokenizers.Tokenizer, config: Mapping[str, Any]) -> None:
    """Add the tokens that only tokenizer_config.json has. Raises BadModelFile if they can't have the ids it gives."""
    declared = config.get("added_tokens_decoder")
    if not isinstance(declared, dict):
        return
    # A token is a control token if either of the two files says so.
    added = backend.get_added_tokens_decoder().values()
    special = {
        _content(entry) for entry in declared.values() if isinstance(entry, dict) and entry.get("special") is True
    }
    unmarked = {token.content for token in added if not token.special} & special
    entries = [(int(key), value) for key, value in declared.items() if key.isdecimal() and isinstance(value, dict)]
    for token_id, entry in sorted(entries, key=lambda item: item[0]):
        text = _content(entry)
        if text is None or (backend.token_to_id(text) is not None and text not in unmarked):
            continue
        flags = {name: entry.get(name) is True for name in ("single_word", "lstrip", "rstrip", "normalized", "special")}
        backend.add_tokens([AddedToken(text, **flags)])
        if backend.token_to_id(text) != token_id:
            raise BadModelFile(
                f"tokenizer_config.json gives {text!r:.60} the id {token_id:,}; "
                f"with tokenizer.json it is {backend.token_to_id(text)}."
            )


def _content(token: Any) -> str | None:
    """Return the text of a token, which is written as a string or as an object with its content."""
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) and content else None


def _token_ids(value: Any, source: str) -> set[int | None]:
    values = value if isinstance(value, list) else [] if value is None else [value]
    if not all(type(token_id) is int and token_id >= 0 for token_id in values):
        raise BadModelFile(f"{source} has the eos_token_id {value!r:.60}; it takes token ids.")
    return set(values)


def _templates(files: Mapping[str, Path], config: Mapping[str, Any]) -> dict[str, str]:
    """Return the chat templates by name: "default" and perhaps "tool_use". Files take precedence over the config."""
    template = config.get("chat_template")
    if isinstance(template, list):
        entries = {entry.get("name"): entry.get("template") for entry in template if isinstance(entry, dict)}
    else:
        entries = {"default": template}
    for name, file_name in TEMPLATE_FILES.items():
        if file_name in files:
            entries[name] = read_text(files[file_name], file_name)
    return {name: text for name, text in entries.items() if isinstance(name, str) and isinstance(text, str)}
