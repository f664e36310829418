"""The requests of POST /api/embed and /api/embeddings."""

from typing import Annotated, ClassVar

from llmos.gateway.calls.embedding import EmbedCall, inputs_of
from llmos.gateway.http.requests import Int64
from llmos.gateway.wires.ollama.fields import ModelFields, strip_latest
from llmos.security.callers import Caller


class EmbedFields(ModelFields, kw_only=True):
    # No option changes a vector.
    harmless: ClassVar = frozenset({"options"})


class OllamaEmbedRequest(EmbedFields, kw_only=True):
    input: str | list[str]
    """A text, or a list of at most 2,048 texts."""
    truncate: bool = False
    """Cut a text that is too long. Otherwise it is an error that says by how many tokens it is too long."""
    dimensions: Annotated[int, Int64] | None = None
    """Return only this many numbers of each vector, the first ones."""

    def call(self, caller: Caller) -> EmbedCall:
        """Return the call that this request makes. Raises BadRequest for invalid inputs."""
        inputs, names = inputs_of(self.input, "input")
        return EmbedCall(
            model=strip_latest(self.model),
            inputs=inputs,
            names=names,
            dimensions=self.dimensions,
            truncate_to=0 if self.truncate else None,
            caller=self.on_behalf_of(caller),
        )


class OllamaEmbeddingsRequest(EmbedFields, kw_only=True):
    prompt: str

    def call(self, caller: Caller) -> EmbedCall:
        """Return the call that this request makes. Raises BadRequest for invalid inputs."""
        inputs, names = inputs_of(self.prompt, "prompt")
        return EmbedCall(model=strip_latest(self.model), inputs=inputs, names=names, caller=self.on_behalf_of(caller))
