"""Descriptions of models in the answers of /api/tags, show and ps."""

from typing import Any

import msgspec

from llmos.deployments.served_model import ServedModel
from llmos.engine.architectures import task_of
from llmos.engine.checkpoint.metadata import Metadata
from llmos.engine.messages import Ready

REMOTE = "remote"
"""The family and the format of a model that a provider runs."""

NEVER = "9999-12-31T23:59:59Z"
"""The time at which a running model is unloaded automatically."""


class ModelDetails(msgspec.Struct, kw_only=True):
    parent_model: str = ""
    format: str
    family: str
    families: list[str]
    parameter_size: str
    quantization_level: str


class OllamaModel(msgspec.Struct, kw_only=True):
    name: str
    """A route or a model, with the tag that Ollama's clients expect."""
    model: str
    modified_at: str
    size: int
    digest: str
    details: ModelDetails


class OllamaModels(msgspec.Struct):
    models: list[OllamaModel]


class ShownModel(msgspec.Struct, kw_only=True, omit_defaults=True):
    license: str = ""
    template: str = ""
    """The chat template, in Jinja."""
    parameters: str = ""
    """The default sampling parameters, one per line."""
    details: ModelDetails
    model_info: dict[str, Any]
    capabilities: list[str]
    modified_at: str


class RunningModel(msgspec.Struct, kw_only=True):
    name: str
    model: str
    size: int
    """Bytes of memory: the weights and the KV cache."""
    digest: str
    details: ModelDetails
    expires_at: str
    size_vram: int
    context_length: int


class RunningModels(msgspec.Struct):
    models: list[RunningModel]


def model_info_of(version: ServedModel, metadata: Metadata) -> dict[str, Any]:
    """Return the metadata of the model's files, and the facts that are known of every model."""
    known = {
        "general.architecture": version.family,
        "general.parameter_count": version.parameters,
        f"{version.family}.context_length": version.context_length,
    }
    return dict(metadata.facts) | {key: value for key, value in known.items() if value is not None}


def capabilities_of(version: ServedModel, metadata: Metadata) -> list[str]:
    """Return what the model can do, in Ollama's words."""
    task = task_of(version.family or REMOTE)
    if task in ("embed", "rerank"):
        return ["embedding" if task == "embed" else "rerank"]
    can_chat = metadata.template is not None
    capabilities = {"completion": True, "tools": can_chat, "thinking": metadata.supports_thinking}
    return [name for name, is_available in capabilities.items() if is_available]


def render_model(name: str, version: ServedModel) -> OllamaModel:
    """Return the model that answers to `name`."""
    return OllamaModel(
        name=tagged(name),
        model=tagged(name),
        modified_at=version.created_at.isoformat(),
        size=version.size_bytes or 0,
        digest=digest_of(version),
        details=details_of(version),
    )


def tagged(name: str) -> str:
    """Return the name with the tag that Ollama's clients expect: llama3.1:8b has one, dialogue gets :latest."""
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def render_running(name: str, version: ServedModel, ready: Ready) -> RunningModel:
    """Return the running version that answers to `name`."""
    return RunningModel(
        name=name,
        model=name,
        size=ready.weight_bytes + ready.kv_bytes,
        digest=digest_of(version),
        details=details_of(version),
        expires_at=NEVER,
        size_vram=0,
        context_length=ready.context_length,
    )


def details_of(version: ServedModel) -> ModelDetails:
    """Return the details that every description of a model has."""
    return ModelDetails(
        format=version.format or REMOTE,
        family=version.family or REMOTE,
        families=[version.family or REMOTE],
        parameter_size=_parameter_size(version.parameters),
        quantization_level=version.quantization or "",
    )


def digest_of(version: ServedModel) -> str:
    """Return the digest without its prefix. Empty for a provider's model."""
    return (version.digest or "").removeprefix("sha256:")


def _parameter_size(num_parameters: int | None) -> str:
    """Return the number in Ollama's form: 134515008 -> "134.52M". Empty if it is unknown."""
    if num_parameters is None:
        return ""
    if num_parameters >= 1_000_000_000:
        return f"{num_parameters / 1e9:.1f}B"
    return f"{num_parameters / 1e6:.2f}M"
