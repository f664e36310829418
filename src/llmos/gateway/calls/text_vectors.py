"""Vectors of texts by one version of a model, for what keeps them: they are compared with those of later texts."""

from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from llmos.core.errors import Conflict
from llmos.core.names import parse_reference
from llmos.gateway.calls.embedding import EmbedCall
from llmos.gateway.calls.pipeline import Pipeline
from llmos.security.callers import Caller
from llmos.security.permissions import Permission

Vectors = NDArray[np.float32]


class TextsToEmbed(msgspec.Struct, frozen=True, kw_only=True):
    model: str
    """NAME@NUMBER."""
    digest: str
    """sha256:<hex> of that version."""
    texts: list[str]
    role: Literal["query", "document"]
    may_be_cut: bool = True
    """Texts that are longer than the model takes are cut; otherwise they are an error."""


async def embed_texts(pipeline: Pipeline, caller: Caller, request: TextsToEmbed) -> Vectors:
    """Return the vectors, [num_texts, dimensions].

    Raises PermissionDenied, PromptTooLong, Conflict where another version answers, and what the pipeline raises.
    """
    caller.check(Permission.INFERENCE)
    embeddings = await pipeline.embed(
        EmbedCall(
            model=_name_for(caller, request.model),
            caller=caller,
            inputs=request.texts,
            names=[f"texts[{i}]" for i in range(len(request.texts))],
            truncate_to=0 if request.may_be_cut else None,
            role=request.role,
        )
    )
    if embeddings.served.digest != request.digest:
        raise Conflict(
            f"{embeddings.served.ref} answered for {request.model}, whose vectors are compared with those of"
            f" {request.model} only. Let {caller.title[0].lower()}{caller.title[1:]} ask for {request.model}.",
            param="model",
        )
    return vectors_from_bytes(b"".join(embeddings.vectors), len(request.texts))


def vectors_from_bytes(content: bytes, num_vectors: int) -> Vectors:
    """Return vectors from little-endian float32 values."""
    vectors: Vectors = np.frombuffer(content, "<f4").astype(np.float32, copy=False).reshape(num_vectors, -1)
    return vectors


def _name_for(caller: Caller, ref: str) -> str:
    """Return the version's reference, or the model's name where the caller may ask for that only."""
    name = parse_reference(ref).name
    return name if not caller.may_ask_for(ref) and caller.may_ask_for(name) else ref
