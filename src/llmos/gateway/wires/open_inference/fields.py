"""Request parameters that infer and generate share."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from llmos.core.errors import BadRequest
from llmos.gateway.calls.call import Call, Prompt
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
"""What each text gets, by name: the datatype."""

_NO_SEQUENCES = Unsupported("nothing is kept between requests. Send the whole text.", (False, 0, ""))


class InferParameters(SamplingFields, kw_only=True):
    """How the texts are answered: from the request's parameters, the input `sampling_parameters`, or inputs of these
    names."""

    max_tokens: Annotated[int, Int64] = 16
    raw: bool = True
    """Continue the texts as they stand. Otherwise each is what a user says, wherever the model has a chat template."""
    exclude_input_in_output: bool = True
    """False puts each text in front of what continues it."""
    stream: bool = False
    binary_data_output: bool = False
    """All outputs come as bytes behind the JSON, unless `outputs` says otherwise."""

    unsupported: ClassVar = {
        "n": Unsupported("each text gets one. Send it several times.", (1,)),
        "timeout": Unsupported("hang up when you have waited long enough: that stops the answer.", (0,)),
        "sequence_id": _NO_SEQUENCES,
        "sequence_start": _NO_SEQUENCES,
        "sequence_end": _NO_SEQUENCES,
    }

    def call(self, model: str, texts: Sequence[str], caller: Caller) -> Call:
        return Call(
            model=model,
            prompts=[Prompt(text=text) if self.raw else Prompt(user_text=text) for text in texts],
            sampling=self.sampling(max_tokens=self.max_tokens),
            echo=not self.exclude_input_in_output,
            caller=self.on_behalf_of(caller),
            cache_salt=self.cache_salt,
            id_prefix="infer",
        )


def read_parameters(parameters: dict[str, Any], *, can_stream: bool = False) -> InferParameters:
    """Return the parameters, whose values may be strings, as Triton's vLLM backend takes them. Raises BadRequest."""
    read = convert(parameters, InferParameters, is_text=True)
    if read.stream and not can_stream:
        raise BadRequest("`stream` is for /generate_stream: this gives one answer. Leave it out.", param="stream")
    return read
