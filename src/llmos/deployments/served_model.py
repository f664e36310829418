"""ServedModel: what is known of a model that answers calls, wherever it runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from llmos.models.versions.versions import Version


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """A version on this machine, or a model at a provider. None stands for what is not known."""

    ref: str
    """`smollm2@1`, or `remote:PROVIDER/MODEL`."""
    model: str
    """The model's name, without the version."""
    number: int | None = None
    """The version's number. Providers don't number theirs."""
    digest: str | None = None
    family: str | None = None
    format: str | None = None
    quantization: str | None = None
    parameters: int | None = None
    context_length: int | None = None
    """Tokens."""
    size_bytes: int | None = None
    sampling: Mapping[str, float] = field(default_factory=dict)
    """The sampling parameters that the model's makers recommend; a call may set others."""
    license: str | None = None
    source: str | None = None
    parent: str | None = None
    """The digest of the version that this one was made from."""
    recipe: Mapping[str, Any] | None = None
    made_by: str | None = None
    created_at: datetime


def served_version(version: Version) -> ServedModel:
    return ServedModel(
        ref=version.ref,
        model=version.model,
        number=version.number,
        digest=version.digest,
        family=version.family,
        format=version.format,
        quantization=version.quantization,
        parameters=version.parameters,
        context_length=version.context_length,
        size_bytes=version.size,
        sampling=version.sampling,
        license=version.license,
        source=version.source,
        parent=version.parent,
        recipe=version.recipe,
        made_by=version.made_by,
        created_at=version.created_at,
    )
