"""The request of POST /v1/embeddings."""

from typing import Annotated, ClassVar, Literal

from llmos.gateway.calls.embedding import EmbedCall, inputs_of
from llmos.gateway.http.fields import TextsFields
from llmos.gateway.http.requests import Hint, Int64, Unsupported
from llmos.gateway.wires.openai.fields import TokenId
from llmos.security.callers import Caller


class EmbeddingRequest(TextsFields, kw_only=True):
    input: str | list[str | TokenId | list[TokenId]]
    """A text, a list of texts, a list of token ids, or a list of such lists; at most 2,048. Token ids are those of the
    model, and nothing is added to them."""
    encoding_format: Literal["float", "base64"] = "float"
    """base64: the encoding of 32-bit floats, little-endian."""
    dimensions: Annotated[int, Int64] | None = None
    """Return only this many numbers of each vector, the first ones. Vectors of length 1 are normalized again."""
    prompt_name: str | None = None
    """The name of a prompt in the model's files, such as `query`, that is put before each text."""

    unsupported: ClassVar = {
        "metadata": Hint(({},)),
        "input_type": Unsupported("name one of the model's own prompts in `prompt_name`, or leave it out."),
    }

    def call(self, caller: Caller) -> EmbedCall:
        """Return the call that this request makes. Raises BadRequest for fields that contradict each other."""
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
