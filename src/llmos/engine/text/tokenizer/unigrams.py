"""Builds a tokenizer from a vocabulary of unigrams: of all ways to cut a text into pieces, it takes the likeliest."""

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers

from llmos.core.errors import BadModelFile
from llmos.engine.text.tokenizer.library import library_errors
from llmos.engine.text.tokenizer.pieces import SPACE
from llmos.engine.text.tokenizer.sentencepiece_file import (
    BPE,
    BYTE,
    CONTROL,
    UNKNOWN,
    USER_DEFINED,
    SentencePieceModel,
)


def unigrams(model: SentencePieceModel, where: str) -> Tokenizer:
    """Return a backend with the vocabulary. Raises BadModelFile, calling the file `where`, if it can't be used."""
    vocabulary = list(zip(model.pieces, model.scores, strict=True))
    with library_errors(lambda error: BadModelFile(f"{where} cannot be used: {error}.")):
        backend = Tokenizer(models.Unigram(vocabulary, model.unknown_id, byte_fallback=BYTE in model.types))
    for kind, is_special in ((CONTROL, True), (UNKNOWN, True), (USER_DEFINED, False)):
        texts = [text for text, type_ in zip(model.pieces, model.types, strict=True) if type_ == kind and text]
        backend.add_tokens([AddedToken(text, special=is_special, normalized=False) for text in texts])
    return backend


def sentencepiece_normalizers(
    model: SentencePieceModel, where: str, *, adds_space: bool
) -> list[normalizers.Normalizer]:
    """Return what is done to a text before it is cut. With unigrams all of what SentencePiece does; with a byte-pair
    encoding less, as in transformers. Raises BadModelFile, calling the file `where`."""
    steps = character_map(model, where)
    if model.kind == BPE:
        return steps
    if model.removes_spaces:
        steps += [normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    if adds_space:
        steps.append(normalizers.Prepend(SPACE))
    return [*steps, normalizers.Replace(" ", SPACE)]


def character_map(model: SentencePieceModel, where: str) -> list[normalizers.Normalizer]:
    """Return the normalizer that applies the file's map of characters, if it has one. Raises BadModelFile."""
    if not model.character_map:
        return []
    with library_errors(lambda error: BadModelFile(f"{where} has an invalid map of characters: {error}.")):
        return [normalizers.Precompiled(model.character_map)]
