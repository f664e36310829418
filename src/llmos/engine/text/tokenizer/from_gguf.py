"""A tokenizer from the metadata of a GGUF file.

tokenizer.ggml.model        "gpt2": byte-level BPE · "llama": SentencePiece · "gemma4": the same, with merges · "bert":
                            WordPiece · "t5": SentencePiece's unigrams
tokenizer.ggml.pre          how text is split into words (splits.py)
tokenizer.ggml.tokens       the vocabulary, with a token_type each, and scores or merges for how pieces join
tokenizer.ggml.*_token_id   the ids of BOS, EOS and so on
tokenizer.ggml.add_*_token  which of them go around a text
tokenizer.chat_template     Jinja; tokenizer.chat_template.tool_use: for conversations with tools
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeGuard, TypeVar

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from llmos.core.errors import BadModelFile, UnsupportedModel
from llmos.core.suggest import nearest
from llmos.engine.text.tokenizer.control_tokens import end_texts, written_by_template
from llmos.engine.text.tokenizer.library import library_errors
from llmos.engine.text.tokenizer.parts import TokenizerParts
from llmos.engine.text.tokenizer.pieces import SPACE, PieceDecoder, byte_level_bytes, sentencepiece_bytes
from llmos.engine.text.tokenizer.sentencepiece_file import UNIGRAM, UNKNOWN, SentencePieceModel
from llmos.engine.text.tokenizer.splits import SPLITS
from llmos.engine.text.tokenizer.unigrams import character_map, unigrams

T = TypeVar("T")

MAX_TOKENS = 1 << 21
MAX_PIECE_LENGTH = 256
"""A longer piece is never merged: finding its merges takes quadratic time."""
MAX_VOCABULARY_LENGTH = 1 << 23
"""Characters in a SentencePiece vocabulary whose merges must be found. The largest known have two million."""

_NORMAL, _CONTROL, _USER_DEFINED = 1, 3, 4  # values of token_type; the others are unknown, unused and byte
_NO_TOKEN = 0xFFFFFFFF  # how some files write "no such token"

_NO_PRE_TOKENIZER = (
    "The file doesn't say how its model splits text into words (tokenizer.ggml.pre is missing, as in files from before"
    " May 2024). GPT-2's way is used, so words may be cut wrongly and answers be worse. Use a newer GGUF file."
)

_TEMPLATE_VARIABLES = {"bos": "bos_token", "eos": "eos_token", "unknown": "unk_token", "padding": "pad_token"}


class _Model(NamedTuple):
    """The parts in which the kinds of vocabulary differ."""

    backend: Tokenizer
    piece_decoder: PieceDecoder
    adds_bos: bool


def parts_from_gguf(metadata: Mapping[str, Any]) -> TokenizerParts:
    """Build a tokenizer's parts. Raises BadModelFile for invalid metadata and UnsupportedModel for an unknown kind."""
    kind = metadata.get("tokenizer.ggml.model")
    tokens, types = _vocabulary(metadata)
    special = {
        name: _token_id(metadata, name, len(tokens))
        for name in ("bos", "eos", "eot", "eom", "unknown", "padding")
    }  # fmt: skip
    vocabulary = {text: token_id for token_id, text in enumerate(tokens)}
    ends = _end_ids(metadata, special, vocabulary)
    control = _control(tokens, types, [*special.values(), *ends])
    template, tool_template = _template(metadata, ""), _template(metadata, ".tool_use")
    if kind == "gpt2":
        model = _byte_level_model(metadata, tokens)
    elif kind in ("llama", "gemma4"):
        model = _sentencepiece_model(metadata, tokens, control, _text(tokens, special["unknown"]))
    elif kind == "bert":
        model = _wordpiece_model(tokens, control, _text(tokens, special["unknown"]))
    elif kind == "t5":
        model = _unigram_model(metadata, tokens, types)
    else:
        raise UnsupportedModel(
            f"The file's tokenizer is of the kind {kind!r:.60}; this engine knows 'gpt2', 'llama', 'gemma4', 'bert' and"
            " 't5'."
        )
    model.backend.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in control])
    plain = [text for text in _of_type(_USER_DEFINED, tokens, types) if text and text not in control]
    ordinary = [text for text in _of_type(_NORMAL, tokens, types) if text not in control]
    written = written_by_template(plain, ordinary, f"{template or ''}{tool_template or ''}")
    # Dropping duplicates: a marker may be in both lists.
    for text in dict.fromkeys([*plain, *written]):
        model.backend.add_tokens([AddedToken(text, special=False, normalized=False)])

    _frame_texts(model.backend, tokens, metadata)
    adds_bos = metadata.get("tokenizer.ggml.add_bos_token")
    variables = {variable: _text(tokens, special[name]) for name, variable in _TEMPLATE_VARIABLES.items()}
    return TokenizerParts(
        backend=model.backend,
        piece_decoder=model.piece_decoder,
        vocab_size=len(tokens),
        token_text=lambda token_id: tokens[token_id] if 0 <= token_id < len(tokens) else None,
        control=control,
        written={text: vocabulary[text] for text in written},
        bos_id=special["bos"],
        eos_ids=ends,
        unknown_id=special["unknown"],
        adds_bos=adds_bos if isinstance(adds_bos, bool) else model.adds_bos,
        template=template,
        tool_template=tool_template,
        template_variables={name: text for name, text in variables.items() if text is not None},
        warnings=[_NO_PRE_TOKENIZER] if kind == "gpt2" and "tokenizer.ggml.pre" not in metadata else [],
    )


def _byte_level_model(metadata: Mapping[str, Any], tokens: list[str]) -> _Model:
    name = metadata.get("tokenizer.ggml.pre", "default")
    split = SPLITS.get(name) if isinstance(name, str) else None
    if split is None:
        raise UnsupportedModel(
            f"The file's pre-tokenizer is {name!r:.60}, which this engine doesn't know."
            + "".join(f" Nearest: {known}." for known in nearest(str(name), SPLITS, 1))
        )
    backend = _bpe(tokens, _stored_merges(metadata), ignore_merges=split.takes_whole_words)
    backend.pre_tokenizer = split.pre_tokenizer()
    if split.normalizer:
        backend.normalizer = split.normalizer()
    backend.decoder = decoders.ByteLevel()
    return _Model(backend, PieceDecoder(byte_level_bytes, strips_space=False), split.adds_bos)


def _sentencepiece_model(
    metadata: Mapping[str, Any], tokens: list[str], control: Mapping[str, int], unknown: str | None
) -> _Model:
    if metadata.get("tokenizer.ggml.merges"):
        merges = _stored_merges(metadata)
    else:
        merges = _derived_merges(tokens, _scores(metadata, len(tokens)), control)
    backend = _bpe(tokens, merges, byte_fallback=True, fuse_unk=True, unk_token=unknown)
    adds_space = metadata.get("tokenizer.ggml.add_space_prefix", True) is not False
    backend.pre_tokenizer = pre_tokenizers.Metaspace(
        replacement=SPACE, prepend_scheme="first" if adds_space else "never", split=False
    )
    return _Model(backend, PieceDecoder(sentencepiece_bytes, strips_space=adds_space), adds_bos=True)


def _wordpiece_model(tokens: list[str], control: Mapping[str, int], unknown: str | None) -> _Model:
    """Return BERT's tokenizer. Converters write a word with a space before it, and parts of words without "##".

    Texts become lower case without accents, as llama.cpp has it for every such file.
    """

    def original(text: str) -> str:
        return text if text in control or text == unknown else text[1:] if text.startswith(SPACE) else f"##{text}"

    vocabulary = {original(text): i for i, text in enumerate(tokens)}
    if unknown is None or unknown not in vocabulary:
        raise BadModelFile("The file's tokenizer has no unknown token, which a WordPiece vocabulary needs.")
    with library_errors(lambda error: BadModelFile(f"The file's vocabulary cannot be used: {error}.")):
        backend = Tokenizer(models.WordPiece(vocabulary, unk_token=unknown))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(prefix="##")
    return _Model(backend, PieceDecoder(sentencepiece_bytes, strips_space=True), adds_bos=False)


def _unigram_model(metadata: Mapping[str, Any], tokens: list[str], types: Sequence[int]) -> _Model:
    """Return SentencePiece's tokenizer of unigrams.

    Text is split at spaces of all kinds, which are dropped but for one before each word, as in the tokenizer.json of
    XLM-RoBERTa. Files that were converted from it say otherwise (remove_extra_whitespaces).
    """
    adds_space = metadata.get("tokenizer.ggml.add_space_prefix", True) is not False
    unknown = _token_id(metadata, "unknown", len(tokens))
    if unknown is None:
        unknown = next((i for i, type_ in enumerate(types) if type_ == UNKNOWN), None)
    if unknown is None:
        raise BadModelFile("The file's tokenizer has no unknown token, which a vocabulary of unigrams needs.")
    characters = metadata.get("tokenizer.ggml.precompiled_charsmap", [])
    if not _is_list_of(characters, int) or not all(-128 <= value < 256 for value in characters):
        raise BadModelFile("The file's tokenizer.ggml.precompiled_charsmap holds no bytes.")
    model = SentencePieceModel(
        pieces=tokens,
        scores=_scores(metadata, len(tokens)),
        types=list(types),
        kind=UNIGRAM,
        unknown_id=unknown,
        character_map=bytes(value & 255 for value in characters),
        adds_space=adds_space,
    )
    backend = unigrams(model, "The file's vocabulary")
    backend.normalizer = normalizers.Sequence(character_map(model, "The file's vocabulary"))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="always" if adds_space else "never"),
        ]
    )
    return _Model(backend, PieceDecoder(sentencepiece_bytes, strips_space=adds_space), adds_bos=False)


def _frame_texts(backend: Tokenizer, tokens: list[str], metadata: Mapping[str, Any]) -> None:
    """Let the texts that a model embeds begin and end with the tokens that the file names.

    Two texts have one token between them in BERT's vocabulary, and two in those of RoBERTa and XLM-RoBERTa.
    """
    names = ("bos", "eos", "cls", "seperator")  # sic
    special = {name: _token_id(metadata, name, len(tokens)) for name in names}
    has_words = metadata.get("tokenizer.ggml.model") == "bert"
    is_roberta = metadata.get("general.architecture") == "bert" and not has_words

    def adds(name: str) -> bool:
        return has_words or is_roberta or metadata.get(f"tokenizer.ggml.add_{name}_token") is True

    first = special["cls"] if special["cls"] is not None else special["bos"]
    before = [tokens[first]] if adds("bos") and first is not None else []
    last = special["seperator"] if adds("sep") and special["seperator"] is not None else special["eos"]
    behind = [tokens[last]] if (adds("sep") or adds("eos")) and last is not None else []
    ids = {text: tokens.index(text) for text in [*before, *behind]}
    if not ids:
        return
    backend.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in ids])
    backend.post_processor = processors.TemplateProcessing(
        single=[*before, "$A", *behind],
        pair=[*before, "$A", *behind, *(behind if is_roberta else []), "$B", *behind],
        special_tokens=list(ids.items()),
    )


def _vocabulary(metadata: Mapping[str, Any]) -> tuple[list[str], Sequence[int]]:
    """Return the text and the type of each token."""
    tokens = metadata.get("tokenizer.ggml.tokens")
    if not _is_list_of(tokens, str) or not tokens:
        raise BadModelFile("The file has no vocabulary: tokenizer.ggml.tokens is missing or holds no strings.")
    if len(tokens) > MAX_TOKENS:
        raise BadModelFile(f"The file's vocabulary has {len(tokens):,} tokens; the limit is {MAX_TOKENS:,}.")
    types = metadata.get("tokenizer.ggml.token_type", [1] * len(tokens))
    if not _is_list_of(types, int) or len(types) != len(tokens):
        raise BadModelFile("The file's tokenizer.ggml.token_type does not give one type for each token.")
    return tokens, types


def _of_type(wanted: int, tokens: Sequence[str], types: Sequence[int]) -> list[str]:
    return [text for text, type_ in zip(tokens, types, strict=True) if type_ == wanted]


def _end_ids(
    metadata: Mapping[str, Any], special: Mapping[str, int | None], vocabulary: Mapping[str, int]
) -> frozenset[int]:
    """Return the tokens that end an answer. Ollama's converter lists further ones as eos_token_ids."""
    key = "tokenizer.ggml.eos_token_ids"
    listed = metadata.get(key, [])
    if not _is_list_of(listed, int) or not all(0 <= token_id < len(vocabulary) for token_id in listed):
        raise BadModelFile(f"The file's {key} is {listed!r:.60}; its vocabulary has {len(vocabulary):,} tokens.")
    ends = {special["eos"], special["eot"], special["eom"], *listed, *(vocabulary[t] for t in end_texts(vocabulary))}
    return frozenset(token_id for token_id in ends if token_id is not None)


def _token_id(metadata: Mapping[str, Any], name: str, vocab_size: int) -> int | None:
    token_id = metadata.get(f"tokenizer.ggml.{name}_token_id")
    if token_id is None or token_id in (-1, _NO_TOKEN):
        return None
    if type(token_id) is not int or not 0 <= token_id < vocab_size:
        raise BadModelFile(
            f"The file's tokenizer.ggml.{name}_token_id is {token_id!r:.40}; its vocabulary has {vocab_size:,} tokens."
        )
    return token_id


def _control(tokens: list[str], types: Sequence[int], special_ids: Any) -> dict[str, int]:
    control = {text: i for i, (text, type_) in enumerate(zip(tokens, types, strict=True)) if type_ == _CONTROL}
    control |= {tokens[token_id]: token_id for token_id in special_ids if token_id is not None}
    control.pop("", None)
    return control


def _stored_merges(metadata: Mapping[str, Any]) -> list[tuple[str, str]]:
    merges = metadata.get("tokenizer.ggml.merges")
    if not _is_list_of(merges, str):
        raise BadModelFile("The file's tokenizer.ggml.merges is missing or holds no strings.")
    pairs = [(left, right) for left, _, right in [merge.partition(" ") for merge in merges]]
    if not all(left and right for left, right in pairs):
        raise BadModelFile(
            "The file's tokenizer.ggml.merges holds an entry that is not two tokens with a space between."
        )
    return pairs


def _scores(metadata: Mapping[str, Any], vocab_size: int) -> list[float]:
    scores = metadata.get("tokenizer.ggml.scores")
    if not _is_list_of(scores, float) or len(scores) != vocab_size:
        raise BadModelFile("The file's tokenizer.ggml.scores does not give one score for each token.")
    return list(scores)


def _derived_merges(tokens: list[str], scores: list[float], control: Mapping[str, int]) -> list[tuple[str, str]]:
    """Return the merges that a SentencePiece file leaves out: all ways to join two pieces into a third.

    Best score first; ties have transformers' order. No merge results in a control token.
    """
    if sum(map(len, tokens)) > MAX_VOCABULARY_LENGTH:
        raise BadModelFile(f"The file's vocabulary is longer than {MAX_VOCABULARY_LENGTH:,} characters.")
    vocabulary = {text: i for i, text in enumerate(tokens)}
    merges: list[tuple[float, int, int, str, str]] = []
    for whole, score in dict(zip(tokens, scores, strict=True)).items():
        if whole in control or len(whole) > MAX_PIECE_LENGTH:
            continue
        pairs = [(whole[:i], whole[i:]) for i in range(1, len(whole))]
        pairs = [(left, right) for left, right in pairs if left in vocabulary and right in vocabulary]
        pairs.sort(key=lambda pair: (vocabulary[pair[0]], vocabulary[pair[1]]))
        merges.extend((score, len(left), len(right), left, right) for left, right in pairs)
    merges.sort(key=lambda merge: merge[:3], reverse=True)
    return [(left, right) for *_, left, right in merges]


def _bpe(tokens: list[str], merges: list[tuple[str, str]], **options: Any) -> Tokenizer:
    vocabulary = {text: i for i, text in enumerate(tokens)}
    options = {name: value for name, value in options.items() if value is not None}
    with library_errors(lambda error: BadModelFile(f"The file's vocabulary and merges do not fit together: {error}.")):
        return Tokenizer(models.BPE(vocab=vocabulary, merges=merges, **options))


def _template(metadata: Mapping[str, Any], name: str) -> str | None:
    template = metadata.get(f"tokenizer.chat_template{name}")
    return template if isinstance(template, str) else None


def _text(tokens: list[str], token_id: int | None) -> str | None:
    return None if token_id is None else tokens[token_id]


def _is_list_of(values: Any, kind: type[T]) -> TypeGuard[list[T]]:
    return isinstance(values, list) and set(map(type, values)) <= {kind}
