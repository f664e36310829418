"""The request of POST /v2/models/{model}/infer."""

from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec

from llmos.core.errors import BadRequest
from llmos.core.suggest import nearest
from llmos.gateway.http.fields import MAX_CHOICES
from llmos.gateway.http.requests import RequestObject, Unsupported
from llmos.gateway.wires.open_inference.fields import OUTPUTS, SAMPLING, TEXT, InferParameters, read_parameters
from llmos.gateway.wires.open_inference.infer.tensors import InputTensor, Tensor, read_tensors


class OutputParameters(RequestObject, kw_only=True):
    binary_data: bool = False

    unsupported: ClassVar = {
        "classification": Unsupported("classification is not supported. Leave it out.", (0,)),
        "shared_memory_region": Unsupported("outputs are always in the answer."),
        "shared_memory_byte_size": Unsupported("outputs are always in the answer."),
        "shared_memory_offset": Unsupported("outputs are always in the answer."),
    }


class RequestedOutput(RequestObject, kw_only=True):
    name: str
    parameters: OutputParameters | None = None

    objects: ClassVar = {"parameters": OutputParameters}


class InferRequest(RequestObject, kw_only=True):
    id: str = ""
    inputs: list[InputTensor]
    """`text_input`: BYTES with the shape [n] or [n, 1]. `sampling_parameters`: one element of BYTES, a JSON object."""
    outputs: list[RequestedOutput] | None = None
    """The outputs to return. Without it, all."""
    parameters: dict[str, Any] = msgspec.field(default_factory=dict)

    lists: ClassVar = {"inputs": InputTensor, "outputs": RequestedOutput}

    def texts(self, tensors: Sequence[Tensor]) -> Tensor:
        """Return the input `text_input`. Raises BadRequest if it is missing or has another shape."""
        found = [(i, tensor) for i, tensor in enumerate(tensors) if tensor.name == TEXT]
        if not found:
            names = ", ".join(tensor.name for tensor in tensors) or "none"
            raise BadRequest(f"The input `{TEXT}` is missing. The request has {names:.500}.", param="inputs")
        i, tensor = found[0]
        if self.inputs[i].datatype != "BYTES":
            raise BadRequest(f"`inputs[{i}].datatype` of `{TEXT}` must be BYTES.", param=f"inputs[{i}].datatype")
        if len(tensor.shape) not in (1, 2) or tensor.shape[1:] not in ([], [1]) or not tensor.values:
            raise BadRequest(
                f"`inputs[{i}].shape` of `{TEXT}` is {tensor.shape}; it accepts [n] or [n, 1] with n of 1 or more.",
                param=f"inputs[{i}].shape",
            )
        if len(tensor.values) > MAX_CHOICES:
            raise BadRequest(
                f"`{TEXT}` has {len(tensor.values):,} texts; the limit is {MAX_CHOICES:,} per request. Split them.",
                param=f"inputs[{i}].shape",
            )
        return tensor

    def read(self, binary: bytes) -> tuple[Tensor, InferParameters]:
        """Return the texts and the parameters. Raises BadRequest. `binary`: the bytes after the JSON."""
        tensors = read_tensors(self.inputs, binary)
        texts = self.texts(tensors)
        parameters = dict(self.parameters)
        for i, tensor in enumerate(tensors):
            if tensor is texts:
                continue
            if len(tensor.values) != 1:
                raise BadRequest(f"`inputs[{i}].shape` of `{tensor.name}` must be [1].", param=f"inputs[{i}].shape")
            more = _object(tensor.values[0]) if tensor.name == SAMPLING else {tensor.name: tensor.values[0]}
            _check_input(tensor.name, i)
            if twice := sorted(parameters.keys() & more.keys()):
                raise BadRequest(
                    f"`{twice[0]}` is given twice: as a parameter and as an input. Send one of them.", param=twice[0]
                )
            parameters |= more
        return texts, read_parameters(parameters)

    def binary_outputs(self, parameters: InferParameters) -> tuple[list[str], list[str]]:
        """Return the names of the requested outputs, and of those among them that are returned as bytes."""
        if self.outputs is None:
            return list(OUTPUTS), list(OUTPUTS) if parameters.binary_data_output else []
        for i, output in enumerate(self.outputs):
            if output.name not in OUTPUTS:
                raise BadRequest(
                    f"There is no output {output.name!r:.100}. The outputs are {', '.join(OUTPUTS)}.",
                    param=f"outputs[{i}].name",
                )
        binary = [
            output.name
            for output in self.outputs
            if (output.parameters.binary_data if output.parameters else parameters.binary_data_output)
        ]
        return list(dict.fromkeys(output.name for output in self.outputs)), binary


def _object(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        raise BadRequest(f"The input `{SAMPLING}` must contain a JSON object.", param=SAMPLING) from None


def _check_input(name: str, index: int) -> None:
    """Raise BadRequest for an input that is no parameter."""
    if name == TEXT:
        raise BadRequest(f"The input `{TEXT}` is given twice. Send all texts in one.", param=f"inputs[{index}].name")
    known = [TEXT, SAMPLING, *InferParameters.__struct_fields__, *InferParameters.unsupported]
    if name not in known[1:]:
        near = nearest(name, known, limit=1)
        advice = f"Did you mean `{near[0]}`?" if near else "Leave it out."
        raise BadRequest(f"There is no input `{name:.100}`. {advice}", param=f"inputs[{index}].name")
