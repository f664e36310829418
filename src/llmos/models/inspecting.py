"""Whether the store holds what the list of versions says: every byte is read again, nothing is believed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from llmos.models.registry import Registry
from llmos.models.store import OnBytes
from llmos.models.versions.versions import Version


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """A version that can't be relied on."""

    version: Version
    reasons: Mapping[str, str]
    """Of its own files, by their names: what is wrong with each."""
    adapted: str | None
    """An adapter: the damaged version that it changes."""
    aliases: Sequence[str]
    """Those that point at it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    num_files: int
    num_bytes: int
    damages: Sequence[Damage]
    damaged: Mapping[str, str]
    """By digest: what is wrong with the blob."""
    orphans: Sequence[tuple[str, int]]
    """Blobs that no version needs: digest and bytes."""
    unfinished: Sequence[tuple[Path, int]]
    """Downloads that broke off: path and bytes so far."""


def num_bytes_to_read(registry: Registry) -> int:
    return sum(size for _, size in registry.store.digests())


def inspect_store(registry: Registry, on_bytes: OnBytes | None = None) -> Inspection:
    """Read every blob there is. Changes nothing, and may run beside a server."""
    stored = dict(registry.store.digests())
    # The list after the blobs: what is recorded meanwhile is looked for, what arrives meanwhile is no orphan.
    versions = registry.list()
    needed = {file.digest: file.size for version in versions for file in version.files}
    problems = registry.store.verify(sorted(stored.keys() | needed.keys()), on_bytes)
    damaged = {problem.digest: problem.reason for problem in problems}
    return Inspection(
        num_files=len(stored),
        num_bytes=sum(stored.values()),
        damages=_damages(registry, versions, damaged),
        damaged=damaged,
        orphans=[(digest, size) for digest, size in stored.items() if digest not in needed],
        unfinished=registry.store.unfinished(),
    )


def how_to_repair(registry: Registry, version: Version) -> str:
    """Return the command that brings a version's missing files back. It stays the same version."""
    kind, _, rest = version.source.partition(":")
    if kind == "import":
        return f"llmos import {rest} --name {version.model}"
    if kind == "archive":
        return f"llmos import {rest}"
    if kind == "made":
        return f"llmos rm {version.ref}, and make it again from {rest}"
    if (entry := registry.catalog.get(version.model)) and any(
        source.location == version.source for source in entry.sources
    ):
        return f"llmos pull {version.model}"
    return f"llmos pull {version.source} --name {version.model}"


def _damages(registry: Registry, versions: Sequence[Version], damaged: Mapping[str, str]) -> list[Damage]:
    reasons = {
        version.ref: {file.name: damaged[file.digest] for file in version.files if file.digest in damaged}
        for version in versions
    }
    damages = []
    for version in versions:
        adapted = f"{version.model}@{version.adapts}" if version.adapts is not None else None
        adapted = adapted if adapted is not None and reasons.get(adapted) else None
        if reasons[version.ref] or adapted:
            moves = registry.aliases.list(version.model)
            aliases = [f"{version.model}:{alias}" for alias, move in moves.items() if move.now == version.ref]
            damages.append(Damage(version=version, reasons=reasons[version.ref], adapted=adapted, aliases=aliases))
    return damages
