"""Applications: the Versions of their folders."""

from datetime import datetime
from typing import Any

import msgspec

from llmos.core.schemas.base import Description
from llmos.core.schemas.prompts import PromptDifference


class AppFileDescription(Description, frozen=True, kw_only=True):
    name: str = ""
    """The path in the folder."""
    digest: str = ""
    """sha256:<hex> of the file."""
    size_bytes: int = 0


class AppDescription(Description, frozen=True, kw_only=True):
    """A Version of an application."""

    name: str = ""
    version: str = ""
    """NAME@NUMBER."""
    digest: str = ""
    """sha256:<hex> of the list of its files: the same files are the same Version."""
    num_files: int = 0
    size_bytes: int = 0
    model: str = ""
    """The route or the model that it asks."""
    permissions: list[str] = msgspec.field(default_factory=list)
    """The permissions of the application's key on a server, besides those that every application has."""
    prompts: list[str] = msgspec.field(default_factory=list)
    """The Versions of prompts that were made from its files."""
    made_by: str | None = None
    description: str | None = None
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    app_description: str | None = None
    app_tags: dict[str, str] = msgspec.field(default_factory=dict)
    created_at: datetime | None = None


class AppVersionDescription(AppDescription, frozen=True, kw_only=True):
    manifest: dict[str, Any] = msgspec.field(default_factory=dict)
    """app.yaml, without what is left at its default."""
    files: list[AppFileDescription] = msgspec.field(default_factory=list)
    versions: list[str] = msgspec.field(default_factory=list)
    aliases: list[str] = msgspec.field(default_factory=list)
    """The aliases that point at this Version."""


class FileChange(Description, frozen=True, kw_only=True):
    """A file that isn't the same in two Versions."""

    name: str = ""
    change: str = ""
    """added, removed or changed."""
    was_bytes: int | None = None
    now_bytes: int | None = None
    lines: list[str] = msgspec.field(default_factory=list)
    """A unified diff, of a text that isn't large."""


class FieldChange(Description, frozen=True, kw_only=True):
    """A field of app.yaml that isn't the same in two Versions."""

    name: str = ""
    """Its path, such as knowledge.top_k."""
    was: Any = None
    now: Any = None


class AppDifference(Description, frozen=True, kw_only=True):
    older: str = ""
    newer: str = ""
    files: list[FileChange] = msgspec.field(default_factory=list)
    manifest: list[FieldChange] = msgspec.field(default_factory=list)
    prompts: list[PromptDifference] = msgspec.field(default_factory=list)
    """The changed prompts that both Versions have."""
