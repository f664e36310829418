"""The answer of POST /v2/models/{model}/infer, rendered as output tensors."""

from typing import Any

import msgspec
from fastapi import Response

from llmos.gateway.calls.answer import Answer
from llmos.gateway.wires.open_inference.fields import OUTPUTS, InferParameters
from llmos.gateway.wires.open_inference.infer.fields import InferRequest
from llmos.gateway.wires.open_inference.infer.tensors import OutputTensor, Tensor, write_tensors
from llmos.gateway.wires.open_inference.versions import version_number

HEADER_LENGTH = "inference-header-content-length"


class InferAnswer(msgspec.Struct, kw_only=True, omit_defaults=True):
    id: str = ""
    """The id of the request."""
    model_name: str
    model_version: str
    """The version that answered."""
    outputs: list[OutputTensor]
    parameters: dict[str, int | str]
    """num_cached_tokens: the tokens of the inputs that were cached from earlier requests. warning: the budget that
    ended the answer."""


class InferRenderer:
    """Renders an answer as output tensors."""

    def __init__(self, request: InferRequest, texts: Tensor, parameters: InferParameters) -> None:
        self._request, self._texts = request, texts
        self._wanted, self._binary = request.binary_outputs(parameters)

    async def complete(self, answer: Answer) -> Response:
        choices = await answer.read_choices()
        values: dict[str, list[Any]] = {
            "text_output": [choice.text for choice in choices],
            "finish_reason": [choice.finish_reason for choice in choices],
            "num_input_tokens": answer.num_prompt_tokens_of,
            "num_output_tokens": answer.num_completion_tokens_of,
        }
        wanted = [(name, OUTPUTS[name], values[name]) for name in self._wanted]
        outputs, data = write_tensors(wanted, self._texts.shape, self._binary)
        head = msgspec.json.encode(
            InferAnswer(
                id=self._request.id,
                model_name=answer.served.model,
                model_version=version_number(answer.served),
                outputs=outputs,
                parameters={"num_cached_tokens": answer.num_cached_tokens, **_warning(answer)},
            )
        )
        if not self._binary:
            return Response(head, media_type="application/json")
        return Response(head + data, headers={HEADER_LENGTH: str(len(head))}, media_type="application/octet-stream")


def _warning(answer: Answer) -> dict[str, str]:
    return {"warning": answer.warnings[0].message} if answer.warnings else {}
