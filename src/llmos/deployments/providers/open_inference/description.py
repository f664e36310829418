"""ModelDescription: the tensors of a model, as its server describes them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

TEXT_INPUT, TEXT_OUTPUT = "text_input", "text_output"


class TensorDescription(msgspec.Struct, frozen=True):
    name: str
    datatype: str
    shape: list[int]
    """-1 stands for any length."""

    @property
    def shape_of_one(self) -> list[int] | None:
        """The shape of a tensor with one element, or None where the model takes none."""
        return [1] * len(self.shape) if all(length in (-1, 1) for length in self.shape) else None


class _Metadata(msgspec.Struct):
    inputs: list[TensorDescription]
    outputs: list[TensorDescription]
    platform: str = ""


class _ConfiguredInput(msgspec.Struct):
    name: str
    optional: bool = False


class _Policy(msgspec.Struct, frozen=True):
    decoupled: bool = False


class _Config(msgspec.Struct):
    input: list[_ConfiguredInput] = []
    model_transaction_policy: _Policy = _Policy()


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelDescription:
    inputs: Mapping[str, TensorDescription]
    outputs: Mapping[str, TensorDescription]
    required: frozenset[str]
    """The inputs that the server says can't be left out. Only Triton says so."""
    is_llmos: bool
    is_decoupled: bool
    """It answers by any number of responses, and so not to `infer` over HTTP."""

    @property
    def is_streamed(self) -> bool:
        """True where `generate_stream` gives the answer in pieces."""
        return self.is_decoupled or self.is_llmos

    def text_input(self, name: str | None) -> TensorDescription | None:
        """Return the input for the text: the one of this name, else `text_input`, else the only one for texts."""
        return _text_tensor(self.inputs, name or TEXT_INPUT, is_named=name is not None)

    def text_output(self, name: str | None) -> TensorDescription | None:
        """Return the output with the text, in the same way."""
        return _text_tensor(self.outputs, name or TEXT_OUTPUT, is_named=name is not None)


def read_description(metadata: bytes, config: bytes | None) -> ModelDescription:
    """Return what GET /v2/models/NAME says, and Triton's GET /v2/models/NAME/config. Raises msgspec.MsgspecError."""
    read = msgspec.json.decode(metadata, type=_Metadata)
    configured = _Config() if config is None else msgspec.json.decode(config, type=_Config)
    return ModelDescription(
        inputs={tensor.name: tensor for tensor in read.inputs},
        outputs={tensor.name: tensor for tensor in read.outputs},
        required=frozenset(each.name for each in configured.input if not each.optional),
        is_llmos=read.platform == "llmos",
        is_decoupled=configured.model_transaction_policy.decoupled,
    )


def first_value(value: Any) -> Any:
    """Return the only element of an output: Triton writes tensors of one element as the element."""
    while isinstance(value, Sequence) and not isinstance(value, str):
        (value,) = value
    return value


def _text_tensor(tensors: Mapping[str, TensorDescription], name: str, *, is_named: bool) -> TensorDescription | None:
    if (found := tensors.get(name)) is not None or is_named:
        return found
    texts = [tensor for tensor in tensors.values() if tensor.datatype == "BYTES"]
    return texts[0] if len(texts) == 1 else None
