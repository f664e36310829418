"""What a caller wants turned into vectors, and what comes of it, freed of the wire format."""

import time
from array import array
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import sqrt
from operator import mul
from sys import byteorder
from typing import Literal

from llmos.core.errors import BadRequest
from llmos.engine.messages import Embed, Embedded
from llmos.gateway.calls.caller import Origin
from llmos.models.versions.versions import Version

MAX_INPUTS = 2048
"""Of one call, as at OpenAI."""

CHUNK_INPUTS = 64
CHUNK_CHARACTERS = 64 * 1024
"""A call goes to the replica in chunks of so many texts, or so much text: a long one is not encoded and told in one
piece, while others wait behind it."""

CHUNKS_AT_ONCE = 4
"""Of one call: so many are on their way, so that the replica always has some to go on with."""

Input = str | list[int]
"""A text, or tokens as they stand."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbedCall:
    model: str
    """The name that was asked for: a Route, or a reference of a model."""
    inputs: Sequence[Input]
    names: Sequence[str]
    """What the caller calls each of them, for errors."""
    dimensions: int | None = None
    """So many of each vector's numbers. None: all."""
    truncate_to: int | None = None
    """A text that has more tokens loses the rest. 0: more than the model takes. None: that is an error."""
    prompt: str | None = None
    """The name of what goes before each text. None: the model's default."""
    num_queries: int | None = None
    """The first so many texts ask, the rest may answer: a model that has prompts for both gets them. None: neither."""
    origin: Origin = field(default_factory=Origin)
    id_prefix: str = "embd"

    def chunks(self, call_id: str, caller: str, priority: int) -> Iterator[Embed]:
        """The same as requests to a replica, in order."""
        for number, (begin, end) in enumerate(self._spans()):
            yield Embed(
                id=f"{call_id}-{number}" if number else call_id,
                inputs=list(self.inputs[begin:end]),
                names=list(self.names[begin:end]),
                dimensions=self.dimensions,
                truncate_to=self.truncate_to,
                prompt=self.prompt,
                role=self._role(begin),
                caller=caller,
                priority=priority,
            )

    def _role(self, place: int) -> Literal["query", "document"] | None:
        if self.num_queries is None:
            return None
        return "query" if place < self.num_queries else "document"

    def _spans(self) -> Iterator[tuple[int, int]]:
        begin = num_characters = 0
        for place, each in enumerate(self.inputs):
            is_full = place - begin == CHUNK_INPUTS or num_characters + len(each) > CHUNK_CHARACTERS
            if place > begin and (is_full or place == self.num_queries):
                yield begin, place
                begin, num_characters = place, 0
            num_characters += len(each)
        yield begin, len(self.inputs)


class Embeddings:
    """The vectors of a call, and what they have cost so far."""

    def __init__(self, id: str, call: EmbedCall, version: Version, num_chunks: int) -> None:
        self.id = id
        self.call = call
        self.version = version
        self.created = int(time.time())
        self.num_prompt_tokens = 0
        """Computed, control tokens and prompts included."""
        self.num_vectors = 0
        self._chunks: list[Embedded | None] = [None] * num_chunks

    def take(self, number: int, embedded: Embedded) -> None:
        self._chunks[number] = embedded
        self.num_prompt_tokens += embedded.num_tokens
        self.num_vectors += len(embedded.vectors) // (4 * embedded.size)

    @property
    def vectors(self) -> list[bytes]:
        """One of each input: floats of 32 bits, little-endian."""
        return [
            chunk.vectors[begin : begin + 4 * chunk.size]
            for chunk in self._chunks
            if chunk is not None
            for begin in range(0, len(chunk.vectors), 4 * chunk.size)
        ]


def floats(vector: bytes) -> list[float]:
    values = array("f", vector)
    if byteorder == "big":
        values.byteswap()
    return values.tolist()


def cosines(firsts: Sequence[bytes], seconds: Sequence[bytes]) -> list[float]:
    """Return how alike the vectors of each pair are, -1 to 1. A vector without a direction is like none: 0."""

    def cosine(a: list[float], b: list[float]) -> float:
        length = sqrt(_dot(a, a) * _dot(b, b))
        return max(-1.0, min(1.0, _dot(a, b) / length)) if length else 0.0

    return [cosine(floats(first), floats(second)) for first, second in zip(firsts, seconds, strict=True)]


def _dot(a: list[float], b: list[float]) -> float:
    total: float = sum(map(mul, a, b))
    return total


def base64(vector: bytes) -> str:
    return b64encode(vector).decode()


def inputs_of(value: str | Sequence[str | int | Sequence[int]], field: str) -> tuple[list[Input], list[str]]:
    """Return the inputs in a wire format's field, and the name of each. Raises BadRequest naming the field.

    `value`: a text, a list of texts, a list of tokens, or a list of such lists.
    """
    if isinstance(value, str):
        return check_inputs([value], [field]), [field]
    tokens = [each for each in value if isinstance(each, int)]
    if tokens and len(tokens) == len(value):
        return [tokens], [field]
    if tokens:
        raise BadRequest(
            f"`{field}` mixes tokens with whole inputs: send a list of tokens, or a list of inputs.", param=field
        )
    if len(value) > MAX_INPUTS:
        raise BadRequest(f"`{field}` has {len(value):,} inputs; a call takes {MAX_INPUTS:,}. Split them.", param=field)
    if not value:
        raise BadRequest(f"`{field}` is empty: send at least one text.", param=field)
    inputs: list[Input] = [each if isinstance(each, str) else list(each) for each in value if not isinstance(each, int)]
    names = [f"{field}[{i}]" for i in range(len(inputs))]
    return check_inputs(inputs, names), names


def check_inputs(inputs: list[Input], names: Sequence[str]) -> list[Input]:
    """Return the inputs. Raises BadRequest for an empty one, by its name."""
    for each, name in zip(inputs, names, strict=True):
        if not each:
            kind = "text" if isinstance(each, str) else "list of tokens"
            raise BadRequest(f"`{name}` is an empty {kind}, which has no meaning to find. Leave it out.", param=name)
    return inputs
