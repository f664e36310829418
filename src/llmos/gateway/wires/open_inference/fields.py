"""Request parameters that infer and generate share."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from llmos.core.errors import BadRequest
from llmos.gateway.calls.call import Call, Prompt
from llmos.gateway.calls.field_names import FieldNames
from llmos.gateway.http.fields import SamplingFields
from llmos.gateway.http.requests import Int64, Unsupported, convert
from llmos.security.callers import Caller

TEXT, SAMPLING = "text_input", "sampling_parameters"

OUTPUTS = {
    "text_output": "BYTES",
    "finish_reason": "BYTES",
    "num_input_tokens": "UINT32",
    "num_output_tokens": "UINT32",
}
"""The outputs for each text, with their datatypes."""

_NO_SEQUENCES = Unsupported("the server keeps no state between requests. Send the whole text.", (False, 0, ""))


class InferParameters(SamplingFields, kw_only=True):
    """Parameters of a generation. Each parameter comes from the request's `parameters`, from the input
    `sampling_parameters`, or from an input of its own name.
    """

    max_tokens: Annotated[int, Int64] = 16
    raw: bool = True
    """Continue the texts without a chat template. Otherwise each is a user's message, if the model has a template."""
    parse_special: bool = True
    """With `raw`: control strings in the texts, such as <|im_end|>, are control tokens."""
    exclude_input_in_output: bool = True
    """Return the continuation only. False: return each text and its continuation."""
    stream: bool = False
    binary_data_output: bool = False
    """Return all outputs as bytes after the JSON, unless `outputs` says otherwise."""

    unsupported: ClassVar = {
        "n": Unsupported("each text gets one answer. Send it several times.", (1,)),
        "timeout": Unsupported("close the connection to stop an answer.", (0,)),
        "sequence_id": _NO_SEQUENCES,
        "sequence_start": _NO_SEQUENCES,
        "sequence_end": _NO_SEQUENCES,
    }

    def call(self, model: str, texts: Sequence[str], caller: Caller) -> Call:
        """Return the call that continues the texts."""
        return Call(
            model=model,
            prompts=[
                Prompt(text=text, parse_special=self.parse_special) if self.raw else Prompt(user_text=text)
                for text in texts
            ],
            sampling=self.sampling(max_tokens=self.max_tokens),
            echo=not self.exclude_input_in_output,
            caller=self.on_behalf_of(caller),
            cache_salt=self.cache_salt,
            field_names=FieldNames({"messages": TEXT, "prompt": TEXT}),
            id_prefix="infer",
        )


def read_parameters(parameters: dict[str, Any], *, can_stream: bool = False) -> InferParameters:
    """Return the parameters. Their values may be strings, as in Triton's vLLM backend. Raises BadRequest."""
    read = convert(parameters, InferParameters, is_text=True)
    if read.stream and not can_stream:
        raise BadRequest(
            "`stream` is for /generate_stream; this endpoint returns one answer. Leave it out.", param="stream"
        )
    return read
