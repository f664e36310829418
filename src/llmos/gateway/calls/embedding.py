"""EmbedCall and Embeddings: texts to be turned into vectors or compared, and the vectors or scores, independent of the
wire format."""

import time
from array import array
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from operator import mul
from sys import byteorder
from typing import Literal

from llmos.core.errors import BadRequest
from llmos.deployments.served_model import ServedModel
from llmos.engine.messages import Embed, Embedded
from llmos.gateway.calls.call import ModelCall
from llmos.gateway.calls.record import Attempt

MAX_INPUTS = 2048
"""The limit of inputs in one call, the same as OpenAI's."""

CHUNK_INPUTS = 64
CHUNK_CHARACTERS = 64 * 1024
"""A call is sent to the replica in chunks of at most this many inputs and characters, so that a long call doesn't keep
others waiting."""

CHUNKS_AT_ONCE = 4
"""Chunks of one call that are under way at the same time, so that the replica never waits for the next one."""

Input = str | list[int]
"""A text, or token ids."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbedCall(ModelCall):
    inputs: Sequence[Input]
    names: Sequence[str]
    """The request field that each input came from, for error messages."""
    dimensions: int | None = None
    """The length of the vectors: their first numbers. None: all."""
    truncate_to: int | None = None
    """Inputs are cut to this many tokens; 0: to what the model takes. None: a longer input is an error."""
    prompt: str | None = None
    """The name of the model's prompt that is put before each input. None: its default."""
    role: Literal["query", "document"] | None = None
    """Without `prompt`: what the inputs are, where nothing is compared."""
    num_queries: int | None = None
    """The first inputs, this many, are queries, and the rest are documents that are compared with them: with the only
    query, or each with its own. None: nothing is compared."""
    instruction: str | None = None
    """Tells a reranker what a relevant document is."""
    id_prefix: str = "embd"

    def chunks(self, call_id: str, caller: str, priority: int, *, in_pairs: bool = False) -> Iterator[Embed]:
        """Yield the requests to a replica, in order. `caller` and `priority` say how they take turns with others.

        `in_pairs`: each document with its query, for a model that scores pairs. Otherwise each text alone.
        """
        if in_pairs:
            yield from self._chunks_of_pairs(call_id, caller, priority)
            return
        for index, (begin, end) in enumerate(self._spans()):
            yield Embed(
                id=f"{call_id}-{index}" if index else call_id,
                inputs=list(self.inputs[begin:end]),
                input_names=list(self.names[begin:end]),
                dimensions=self.dimensions,
                truncate_to=self.truncate_to,
                prompt=self.prompt,
                role=self._role(begin),
                instruction=self.instruction,
                caller=caller,
                priority=priority,
            )

    @property
    def pair_indices(self) -> list[tuple[int, int]]:
        """The query and the document of each comparison, as indices of inputs."""
        num_queries = self.num_queries or 0
        documents = range(num_queries, len(self.inputs))
        return [(0 if num_queries == 1 else i, document) for i, document in enumerate(documents)]

    def _chunks_of_pairs(self, call_id: str, caller: str, priority: int) -> Iterator[Embed]:
        indices = self.pair_indices
        pairs = [(str(self.inputs[query]), str(self.inputs[document])) for query, document in indices]
        names = [self.names[document] for _, document in indices]
        for index, (begin, end) in enumerate(_spans([len(query) + len(document) for query, document in pairs])):
            yield Embed(
                id=f"{call_id}-{index}" if index else call_id,
                pairs=pairs[begin:end],
                input_names=names[begin:end],
                truncate_to=self.truncate_to,
                instruction=self.instruction,
                caller=caller,
                priority=priority,
            )

    def _role(self, index: int) -> Literal["query", "document"] | None:
        if self.num_queries is None:
            return self.role
        return "query" if index < self.num_queries else "document"

    def _spans(self) -> Iterator[tuple[int, int]]:
        """Yield the inputs of each chunk, as (begin, end)."""
        return _spans([len(each) for each in self.inputs], self.num_queries)


def _spans(lengths: Sequence[int], split: int | None = None) -> Iterator[tuple[int, int]]:
    """Yield the items of each chunk, as (begin, end). `split`: a new chunk begins at this index."""
    begin = num_characters = 0
    for index, length in enumerate(lengths):
        is_full = index - begin == CHUNK_INPUTS or num_characters + length > CHUNK_CHARACTERS
        if index > begin and (is_full or index == split):
            yield begin, index
            begin, num_characters = index, 0
        num_characters += length
    yield begin, len(lengths)


class Embeddings:
    """The vectors of a call or the scores of its pairs, and the tokens so far."""

    def __init__(
        self,
        id: str,
        call: EmbedCall,
        served: ServedModel,
        attempt: Attempt,
        num_chunks: int,
        *,
        in_pairs: bool = False,
    ) -> None:
        """`in_pairs`: the model scores the pairs itself."""
        self.id = id
        self._in_pairs = in_pairs
        self.call = call
        self.served = served
        self.attempt = attempt
        """The part of the call's record that is kept up to date here."""
        self.has_receipt = False
        """A receipt will be found by the id."""
        self.created = int(time.time())
        self._chunks: list[Embedded | None] = [None] * num_chunks

    @property
    def num_prompt_tokens(self) -> int:
        """Tokens computed so far, control tokens and prompts included."""
        return self.attempt.num_prompt_tokens

    def take(self, index: int, embedded: Embedded) -> None:
        """Add the vectors of one chunk."""
        self._chunks[index] = embedded
        self.attempt.num_prompt_tokens += embedded.num_tokens
        if index == 0:  # While later chunks wait, the earlier ones are computed.
            self.attempt.queued_seconds = embedded.queued_micros / 1e6
        self.attempt.num_vectors += len(embedded.vectors) // (4 * embedded.size)

    def scores(self) -> list[float]:
        """Return the score of each comparison: the model's, or the cosine of the two vectors."""
        vectors = self.vectors
        if self._in_pairs:
            return [score for vector in vectors for score in floats(vector)]
        pairs = self.call.pair_indices
        return cosines([vectors[query] for query, _ in pairs], [vectors[document] for _, document in pairs])

    @property
    def vectors(self) -> list[bytes]:
        """One vector for each input: 32-bit floats, little-endian."""
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
    """Return the cosine similarity of each pair, -1 to 1; 0 where a vector is all zeros."""

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
    """Return the inputs in a request's field, and the name of each. Raises BadRequest naming the field.

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
