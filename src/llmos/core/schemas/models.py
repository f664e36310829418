"""Versions of models with their details, and the models of the catalog."""

from datetime import datetime
from typing import Any

import msgspec

from llmos.core.schemas.base import Description
from llmos.core.schemas.cards import Card


class ModelDescription(Description, frozen=True, kw_only=True):
    """A Version."""

    name: str = ""
    """The name in the request, or the model's name."""
    version: str = ""
    """The reference of the Version, such as `smollm2@1`."""
    digest: str | None = None
    """null for a model that a provider runs, like every other unknown field."""
    family: str = ""
    format: str = ""
    quantization: str | None = None
    parameters: int | None = None
    context_length: int | None = None
    sampling: dict[str, float] = msgspec.field(default_factory=dict)
    """The default sampling options, which the model's makers recommend."""
    size_bytes: int = 0
    license: str | None = None
    source: str | None = None
    parent: str | None = None
    """The digest of the Version that it was made from."""
    recipe: dict[str, Any] | None = None
    """The recipe by which it was made from its parent."""
    made_by: str | None = None
    """The user who made or imported it."""
    description: str | None = None
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    """The Version's own tags. A tag without a value has an empty one."""
    model_description: str | None = None
    model_tags: dict[str, str] = msgspec.field(default_factory=dict)
    """The tags of the model, which all of its Versions share."""
    created_at: datetime | None = None


class ModelFile(Description, frozen=True, kw_only=True):
    name: str = ""
    digest: str = ""
    size_bytes: int = 0
    path: str | None = None
    """null for a file on another machine."""


class VersionDetails(ModelDescription, frozen=True, kw_only=True):
    """A Version with its files, aliases and siblings."""

    versions: list[str] = msgspec.field(default_factory=list)
    """The references of all Versions of the model."""
    aliases: list[str] = msgspec.field(default_factory=list)
    """The aliases that point at this Version."""
    made_from: str | None = None
    """The reference of the Version that it was made from; its digest if that Version isn't stored here."""
    task: str | None = None
    """Its task: `generate` (text), `embed` (texts as vectors) or `rerank` (scores of documents for a query). null
    if this engine doesn't have its family."""
    runs: bool = True
    """This engine can run it."""
    unsupported: str | None = None
    """Why this engine can't run it."""
    warnings: list[str] = msgspec.field(default_factory=list)
    """Peculiarities of this model, in sentences."""
    encrypted: bool = False
    """Its files are encrypted at rest."""
    files: list[ModelFile] = msgspec.field(default_factory=list)


class MadeDescription(ModelDescription, frozen=True, kw_only=True):
    """A Version that `quantize` or `prune` made."""

    was_here: bool = False
    """The Version existed already, made by the same recipe from the same parent."""
    remark: str | None = None
    """A remark about the parent, or about a card that couldn't be measured."""
    card: Card | None = None
    """null if it wasn't measured."""


class RemovalDescription(Description, frozen=True, kw_only=True):
    """The Versions and aliases that were removed."""

    versions: list[str] = msgspec.field(default_factory=list)
    aliases: list[str] = msgspec.field(default_factory=list)
    freed_bytes: int = 0


class CatalogEntryDescription(Description, frozen=True, kw_only=True):
    """A model that `llmos pull` knows by name."""

    name: str = ""
    description: str = ""
    license: str = ""
    template: str = ""
    """`own`: its files have a chat template. `none`: it doesn't chat."""
    download_bytes: int = 0
    """The size of the download from the first source."""
    sources: list[str] = msgspec.field(default_factory=list)
    """The sources, in the order in which they are tried."""
    here: bool = False
    """A Version of it is stored."""
