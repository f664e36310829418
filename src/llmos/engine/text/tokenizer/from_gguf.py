"""A tokenizer out of a GGUF file's metadata.

tokenizer.ggml.model        "gpt2": byte-level BPE · "llama": SentencePiece
tokenizer.ggml.pre          how text is cut into words (splits.py)
tokenizer.ggml.tokens       the vocabulary; token_type says what each is; scores or merges say how they join
tokenizer.ggml.*_token_id   which of them are BOS, EOS and so on
tokenizer.chat_template     Jinja
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard, TypeVar

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from llmos.core.errors import BadModelFile, UnsupportedModel
from llmos.core.suggest import nearest
from llmos.engine.text.tokenizer.library import library_errors
from llmos.engine.text.tokenizer.parts import TokenizerParts
from llmos.engine.text.tokenizer.pieces import SPACE, PieceDecoder, byte_level_bytes, sentencepiece_bytes
from llmos.engine.text.tokenizer.splits import SPLITS

T = TypeVar("T")

MAX_TOKENS = 1 << 21
MAX_PIECE_LENGTH = 256
"""A longer piece is only a token where it is added whole; finding how it could be merged takes its length squared."""
MAX_VOCABULARY_LENGTH = 1 << 23
"""Characters in a SentencePiece vocabulary, whose merges have to be found. The largest known have two million."""

_CONTROL, _USER_DEFINED = 3, 4  # token types; the others are normal, unknown, unused and single bytes
_NONE = 0xFFFFFFFF  # how some files write "no such token"

# Files often name one end token where the model was taught several; these spellings mean the end in every family.
_END_TEXTS = (
    "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<|endoftext|>", "<end_of_turn>", "<|end|>",
)  # fmt: skip


def parts_from_gguf(metadata: Mapping[str, Any]) -> TokenizerParts:
    """Raises BadModelFile for metadata that make no tokenizer, UnsupportedModel for a kind that we don't know."""
    kind = metadata.get("tokenizer.ggml.model")
    tokens, types = _vocabulary(metadata)
    special = {
        name: _token_id(metadata, name, len(tokens))
        for name in ("bos", "eos", "eot", "eom", "unknown", "padding")
    }  # fmt: skip
    control = _control(tokens, types, special.values())
    adds_bos = kind == "llama"
    if kind == "gpt2":
        split_name = metadata.get("tokenizer.ggml.pre", "default")
        split = SPLITS.get(split_name) if isinstance(split_name, str) else None
        if split is None:
            raise UnsupportedModel(
                f"The file's pre-tokenizer is {split_name!r:.60}; this engine knows {', '.join(SPLITS)}."
                + "".join(f" Nearest: {name}." for name in nearest(str(split_name), SPLITS, 1))
            )
        adds_bos = split.adds_bos
        backend = _backend(tokens, _written_merges(metadata), ignore_merges=split.takes_whole_words)
        backend.pre_tokenizer = split.pre_tokenizer()
        if split.normalizer:
            backend.normalizer = split.normalizer()
        backend.decoder = decoders.ByteLevel()
        piece_decoder = PieceDecoder(byte_level_bytes, strips_space=False)
    elif kind == "llama":
        if metadata.get("tokenizer.ggml.merges"):
            merges = _written_merges(metadata)
        else:
            merges = _found_merges(tokens, _scores(metadata, len(tokens)), control)
        backend = _backend(
            tokens, merges, byte_fallback=True, fuse_unk=True, unk_token=_text(tokens, special["unknown"])
        )
        adds_space = metadata.get("tokenizer.ggml.add_space_prefix", True) is not False
        backend.pre_tokenizer = pre_tokenizers.Metaspace(
            replacement=SPACE, prepend_scheme="first" if adds_space else "never", split=False
        )
        piece_decoder = PieceDecoder(sentencepiece_bytes, strips_space=adds_space)
    else:
        raise UnsupportedModel(
            f"The file's tokenizer is of the kind {kind!r:.60}; this engine knows 'gpt2' and 'llama'."
        )

    backend.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in control])
    plain = [text for text, type_ in zip(tokens, types, strict=True) if type_ == _USER_DEFINED and text not in control]
    backend.add_tokens([AddedToken(text, special=False, normalized=False) for text in plain if text])

    template = metadata.get("tokenizer.chat_template")
    named = metadata.get("tokenizer.ggml.add_bos_token")
    names = {"bos": "bos_token", "eos": "eos_token", "unknown": "unk_token", "padding": "pad_token"}
    variables = {variable: _text(tokens, special[name]) for name, variable in names.items()}
    ends = {special["eos"], special["eot"], special["eom"], *(control.get(text) for text in _END_TEXTS)}
    return TokenizerParts(
        backend=backend,
        piece_decoder=piece_decoder,
        vocab_size=len(tokens),
        token_text=lambda token_id: tokens[token_id] if 0 <= token_id < len(tokens) else None,
        control=control,
        bos_id=special["bos"],
        eos_ids=frozenset(token_id for token_id in ends if token_id is not None),
        unknown_id=special["unknown"],
        adds_bos=named if isinstance(named, bool) else adds_bos,
        template=template if isinstance(template, str) else None,
        template_variables={name: text for name, text in variables.items() if text is not None},
    )


def _vocabulary(metadata: Mapping[str, Any]) -> tuple[list[str], Sequence[int]]:
    tokens = metadata.get("tokenizer.ggml.tokens")
    if not _is_list_of(tokens, str) or not tokens:
        raise BadModelFile("The file has no vocabulary: tokenizer.ggml.tokens is missing or holds no strings.")
    if len(tokens) > MAX_TOKENS:
        raise BadModelFile(f"The file's vocabulary has {len(tokens):,} tokens; at most {MAX_TOKENS:,} can be.")
    types = metadata.get("tokenizer.ggml.token_type", [1] * len(tokens))
    if not _is_list_of(types, int) or len(types) != len(tokens):
        raise BadModelFile("The file's tokenizer.ggml.token_type does not give one type for each token.")
    return tokens, types


def _token_id(metadata: Mapping[str, Any], name: str, vocab_size: int) -> int | None:
    token_id = metadata.get(f"tokenizer.ggml.{name}_token_id")
    if token_id is None or token_id in (-1, _NONE):
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


def _written_merges(metadata: Mapping[str, Any]) -> list[tuple[str, str]]:
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


def _found_merges(tokens: list[str], scores: list[float], control: Mapping[str, int]) -> list[tuple[str, str]]:
    """Return every way to join two pieces into a third, best score first: the merges that a SentencePiece file leaves
    out. In transformers' order, so that ties fall alike. Text must not merge into a control token."""
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


def _backend(tokens: list[str], merges: list[tuple[str, str]], **options: Any) -> Tokenizer:
    vocabulary = {text: i for i, text in enumerate(tokens)}
    options = {name: value for name, value in options.items() if value is not None}
    with library_errors(lambda error: BadModelFile(f"The file's vocabulary and merges do not fit together: {error}.")):
        return Tokenizer(models.BPE(vocab=vocabulary, merges=merges, **options))


def _text(tokens: list[str], token_id: int | None) -> str | None:
    return None if token_id is None else tokens[token_id]


def _is_list_of(values: Any, kind: type[T]) -> TypeGuard[list[T]]:
    return isinstance(values, list) and set(map(type, values)) <= {kind}
