"""AppVersion and AppFile: what the database knows of a version, independent of it. AppContent: what one is made of.
AppFiles: files that are compared."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from llmos.core.canonical import sha256_of
from llmos.core.prompt_text import PromptText
from llmos.data.app_versions.tables import AppVersionRow

_SMALL_BYTES = 1 << 20
_HELD_BYTES = 16 << 20
"""The bytes of the files of a plan that are held in memory."""

FORMAT = 1
"""The version of the rules by which files become a digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppFile:
    name: str
    """The path in the folder."""
    digest: str
    """sha256:<hex> of the file."""
    size: int
    blob: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppContent:
    """The content of a version, checked."""

    name: str
    model: str
    permissions: Sequence[str]
    manifest: Mapping[str, Any]
    """app.yaml as JSON."""
    files: Iterable[tuple[str, bytes]]
    """The names and contents, read anew each time that it is iterated over."""
    prompts: Mapping[str, PromptText] = field(default_factory=dict)
    """The prompts that its files are, by the names that they have on the server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppVersion:
    """The immutable files of an application."""

    project: str
    app: str
    """The name."""
    number: int
    digest: str
    """sha256:<hex> of the canonical list of its files."""
    created_at: datetime
    made_by: str | None
    model: str
    permissions: tuple[str, ...]
    prompts: tuple[str, ...]
    """The versions of prompts that were made of its files."""
    manifest_blob: str
    files: tuple[AppFile, ...]

    @property
    def ref(self) -> str:
        """NAME@NUMBER."""
        return f"{self.app}@{self.number}"

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(file.size for file in self.files)


def file_of(name: str, content: bytes, blob: str = "") -> AppFile:
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    return AppFile(name=name, digest=digest, size=len(content), blob=blob)


def digest_of_files(files: Iterable[AppFile]) -> str:
    """Return the digest of a version: that of the names and contents of its files, whatever their order."""
    listed = [[file.name, file.digest, file.size] for file in sorted(files, key=lambda file: file.name)]
    return f"sha256:{sha256_of({'format': FORMAT, 'files': listed})}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AppFiles:
    """The files of an application, stored or not."""

    app: str
    ref: str
    """The name that differences call it by."""
    manifest: Mapping[str, Any]
    """app.yaml as JSON."""
    files: Mapping[str, AppFile]
    read: Callable[[str], bytes]
    """read(name) returns the content of a file."""


def files_of_content(content: AppContent, ref: str) -> AppFiles:
    """Return the files of what is no version yet. Small ones are held in memory, and others are read again."""
    files: dict[str, AppFile] = {}
    held: dict[str, bytes] = {}
    num_held = 0
    for name, body in content.files:
        files[name] = file_of(name, body)
        if len(body) <= _SMALL_BYTES and num_held + len(body) <= _HELD_BYTES:
            held[name], num_held = body, num_held + len(body)

    def read(name: str) -> bytes:
        if name in held:
            return held[name]
        return next(body for each, body in content.files if each == name)

    return AppFiles(app=content.name, ref=ref, manifest=content.manifest, files=files, read=read)


def version_of(row: AppVersionRow) -> AppVersion:
    """Return the version in a database row."""
    project, _, name = row.owner.partition("/")
    return AppVersion(
        project=project,
        app=name,
        number=row.number,
        digest=row.digest,
        created_at=row.created_at,
        made_by=row.made_by,
        model=row.model,
        permissions=tuple(row.permissions),
        prompts=tuple(row.prompts),
        manifest_blob=row.manifest_blob,
        files=tuple(AppFile(name=each.name, digest=each.digest, size=each.size, blob=each.blob) for each in row.files),
    )
