"""The answers of GET /v1/models in OpenAI's format."""

from typing import Literal

import msgspec

from llmos.deployments.served_model import ServedModel


class OpenAIModel(msgspec.Struct, kw_only=True):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: Literal["llmos"] = "llmos"
    version: str
    """The version that the name stands for now, such as smollm2@1."""
    max_model_len: int | None
    """The context window, in tokens."""


class OpenAIModels(msgspec.Struct, kw_only=True):
    object: Literal["list"] = "list"
    data: list[OpenAIModel]


def render_model(name: str, version: ServedModel) -> OpenAIModel:
    """Return the model that answers to `name`, in OpenAI's format."""
    return OpenAIModel(
        id=name,
        created=int(version.created_at.timestamp()),
        version=version.ref,
        max_model_len=version.context_length,
    )
