"""The request of POST /v1/embeddings."""

from typing import Annotated, ClassVar, Literal

from llmos.gateway.calls.embedding import EmbedCall, inputs_of
from llmos.gateway.http.fields import TextsFields
from llmos.gateway.http.requests import Int64, Unsupported
from llmos.gateway.wires.openai.fields import TokenId
from llmos.security.callers import Caller


class EmbeddingRequest(TextsFields, kw_only=True):
    input: str | list[str | TokenId | list[TokenId]]
    """A text, a list of texts, a list of tokens, or a list of such lists: 2,048 at most. Tokens are the model's own,
    and taken as they stand."""
    encoding_format: Literal["float", "base64"] = "float"
    """base64: of floats of 32 bits, little-endian."""
    dimensions: Annotated[int, Int64] | None = None
    """So many of each vector's numbers, the first ones. Where the model's vectors have the length 1, so have these."""
    prompt_name: str | None = None
    """What goes before each text, by the name that the model's files give it, such as `query`."""

    harmless = frozenset({"metadata"})
    unsupported: ClassVar = {
        "input_type": Unsupported("name one of the model's own prompts in `prompt_name`, or leave it out."),
    }

    def call(self, caller: Caller) -> EmbedCall:
        """Raises BadRequest for what the types alone can't tell."""
        inputs, names = inputs_of(self.input, "input")
        return EmbedCall(
            model=self.model,
            inputs=inputs,
            names=names,
            dimensions=self.dimensions,
            truncate_to=self.truncate_to(),
            prompt=self.prompt_name,
            caller=self.on_behalf_of(caller),
        )
