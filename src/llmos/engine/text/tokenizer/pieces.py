"""A token's text in the vocabulary -> its bytes.

Byte-level vocabularies (GPT-2) write each byte as a printable character. SentencePiece vocabularies write a space as
U+2581 and a byte that is no character of its own as <0xE4>. WordPiece vocabularies write ## before the rest of a word,
and have no spaces.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from llmos.core.errors import UnsupportedModel

SPACE = "\u2581"
_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's alphabet: printable Latin-1 characters are their own bytes, and U+0100 and up the other bytes."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    alphabet = {chr(byte): byte for byte in printable}
    others = (byte for byte in range(256) if byte not in alphabet.values())
    return alphabet | {chr(0x100 + i): byte for i, byte in enumerate(others)}


_BYTE_OF = _byte_alphabet()
BYTE_CHARACTERS = {byte: character for character, byte in _BYTE_OF.items()}
"""The character by which byte-level vocabularies write each byte."""


class PieceDecoder(NamedTuple):
    """Decodes the texts of one kind of vocabulary."""

    to_bytes: Callable[[str], bytes]
    strips_space: bool
    """The tokenizer puts a space before a text, which decoding removes."""


def byte_level_bytes(token: str) -> bytes:
    try:
        return bytes([_BYTE_OF[character] for character in token])
    except KeyError:
        return token.encode("utf-8", "replace")  # an added token is plain text


def sentencepiece_bytes(token: str) -> bytes:
    byte = _BYTE_TOKEN.fullmatch(token)
    return bytes([int(byte[1], 16)]) if byte else token.replace(SPACE, " ").encode("utf-8", "replace")


def wordpiece_bytes(token: str) -> bytes:
    continues_word = token.startswith("##")
    return (token[2:] if continues_word else f" {token}").encode("utf-8", "replace")


def piece_decoder_of(decoder: Any) -> PieceDecoder:
    """Return the equivalent of a `tokenizers` decoder. Raises UnsupportedModel for a decoder of another kind."""
    if decoder is None:
        raise UnsupportedModel("tokenizer.json has no decoder, so its tokens can't be decoded.")
    steps = list(_steps(json.loads(decoder.__getstate__())))
    kinds = {step["type"] for step in steps}
    if kinds == {"WordPiece"}:
        return PieceDecoder(wordpiece_bytes, strips_space=True)
    unknown = kinds - {"ByteLevel", "Metaspace", "Replace", "ByteFallback", "Fuse", "Strip"}
    if unknown:
        raise UnsupportedModel(
            f"tokenizer.json has the decoder {', '.join(sorted(unknown))}; "
            "this engine knows byte-level, SentencePiece and WordPiece vocabularies."
        )
    if "ByteLevel" in kinds:
        return PieceDecoder(byte_level_bytes, strips_space=False)
    for step in steps:
        is_space = step["type"] == "Metaspace" and step.get("replacement") == SPACE
        is_space |= step["type"] == "Replace" and (step.get("pattern"), step.get("content")) == ({"String": SPACE}, " ")
        if step["type"] in ("Metaspace", "Replace") and not is_space:
            raise UnsupportedModel(f"tokenizer.json has a {step['type']} decoder that this engine does not know.")
    strips = any(
        (step["type"] == "Strip" and step.get("content") == " " and step.get("start", 0) > 0)
        or (step["type"] == "Metaspace" and step.get("prepend_scheme", "always") != "never")
        for step in steps
    )
    return PieceDecoder(sentencepiece_bytes, strips_space=strips)


def _steps(state: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if state["type"] == "Sequence":
        for step in state["decoders"]:
            yield from _steps(step)
    else:
        yield state
