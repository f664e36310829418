"""The answers about a model: ready, and its metadata."""

from typing import Any, Literal

import msgspec

from llmos.gateway.wires.open_inference.fields import OUTPUTS, SAMPLING, TEXT


class ModelReady(msgspec.Struct):
    name: str
    ready: bool


class TensorMetadata(msgspec.Struct):
    name: str
    datatype: str
    shape: list[int]
    """-1 stands for any length."""


class ModelMetadata(msgspec.Struct, kw_only=True):
    name: str
    versions: list[str]
    platform: Literal["llmos"] = "llmos"
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


TENSORS: dict[str, Any] = {
    "inputs": [TensorMetadata(TEXT, "BYTES", [-1]), TensorMetadata(SAMPLING, "BYTES", [1])],
    "outputs": [TensorMetadata(name, datatype, [-1]) for name, datatype in OUTPUTS.items()],
}
