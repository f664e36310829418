"""Inspects the store: reads every blob again and compares it with the list of versions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from llmos.core.byte_progress import OnBytes
from llmos.core.store.blobs_in_use import blob_users, digests_in_use
from llmos.models.registry import Registry
from llmos.models.versions.versions import Version


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """A version with missing or wrong bytes."""

    version: Version
    reasons: Mapping[str, str]
    """{name of a file of the version: what is wrong with it}"""
    adapted: str | None
    """The version that an adapter adapts, if that one is damaged; else None."""
    aliases: Sequence[str]
    """The aliases that point at it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """The result of an inspection."""

    num_files: int
    """Blobs in the store."""
    num_bytes: int
    damages: Sequence[Damage]
    damaged: Mapping[str, str]
    """{digest of a blob: what is wrong with it}"""
    other_users: Mapping[str, Sequence[str]]
    """{digest of a damaged blob: what uses it}, such as the versions of datasets, where no model does."""
    orphans: Sequence[tuple[str, int]]
    """Digest and bytes of each blob that no version uses."""
    unfinished: Sequence[tuple[Path, int]]
    """Path and bytes of each interrupted download."""


def num_bytes_to_read(registry: Registry) -> int:
    """Return the bytes that inspect_store() reads."""
    return sum(size for _, size in registry.store.digests())


def inspect_store(registry: Registry, on_bytes: OnBytes | None = None) -> Inspection:
    """Read every blob. Changes nothing, and can run while a server is running."""
    stored = dict(registry.store.digests())
    # List the blobs before the versions: a blob that arrives in between is not an orphan.
    versions = registry.list()
    needed = digests_in_use(registry.database)
    problems = registry.store.verify(sorted(stored.keys() | needed), on_bytes)
    damaged = {problem.digest: problem.reason for problem in problems}
    of_models = {file.digest for version in versions for file in version.files}
    return Inspection(
        num_files=len(stored),
        num_bytes=sum(stored.values()),
        damages=_damages(registry, versions, damaged),
        damaged=damaged,
        other_users=blob_users(registry.database, damaged.keys() - of_models),
        orphans=[(digest, size) for digest, size in stored.items() if digest not in needed],
        unfinished=registry.store.unfinished(),
    )


def how_to_repair(registry: Registry, version: Version) -> str:
    """Return the command that restores a version's files. The version stays the same."""
    kind, _, rest = version.source.partition(":")
    if kind == "import":
        return f"llmos import {rest} --name {version.model}"
    if kind == "archive":
        return f"llmos import {rest}"
    if kind == "made":
        return f"llmos rm {version.ref}, then make it again from {rest}"
    if (entry := registry.catalog.get(version.model)) and any(
        source.is_origin_of(version.source) for source in entry.sources
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
