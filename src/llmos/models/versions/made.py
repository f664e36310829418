"""Versions that were made from others: quantized, pruned. Each goes into a model whose versions have one parent model,
so that no name begins to mean something worse."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from llmos.core.errors import BadRequest, Conflict
from llmos.models import queries
from llmos.models.names import check_name
from llmos.models.sources import Progress
from llmos.models.store import Store
from llmos.models.versions.manifest import canonical_json
from llmos.models.versions.recording import Origin, Recorder
from llmos.models.versions.versions import Version, version_of


def add_made(
    recorder: Recorder,
    store: Store,
    name: str,
    files: Mapping[str, Path],
    *,
    parent: Version,
    recipe: Mapping[str, Any],
    made_by: str | None,
    progress: Progress,
) -> Version:
    """See Registry.add_made."""
    canonical_json(recipe)
    origin = Origin(source=f"made:{parent.ref}", license=parent.license, parent=parent, recipe=recipe, actor=made_by)
    for path in files.values():
        path.chmod(0o444)  # it becomes the blob itself, where the file system has links
    with store.publishing():
        stored = recorder.add_files(files, progress)
        return recorder.record(name, stored, origin, lambda session: check_free(session, name, parent))


def check_free(session: Session, name: str, parent: Version) -> None:
    """Raise Conflict where `name` is a model that wasn't made from the model of `parent`; BadRequest where no model can
    be made from it, or called so."""
    check_name(name, "a model")
    if parent.adapts is not None:
        raise BadRequest(
            f"{parent.ref} is an adapter, which has no weights of its own. Name the model that it changes:"
            f" {parent.model}@{parent.adapts}",
            param="model",
        )
    family = queries.digests_of(session, parent.model)
    for row in queries.versions(session, name):
        if row.parent not in family:
            how = f"was made from {origin_of(session, row.parent)}" if row.parent else "wasn't made from another model"
            raise Conflict(
                f"The name {name} is taken: {version_of(row).ref} {how}. Choose another one with --name.", param="name"
            )


def find_made(session: Session, name: str, parent: Version, recipe: Mapping[str, Any]) -> Version | None:
    """Return the version of `name` that was made from `parent` by this recipe."""
    wanted = canonical_json(recipe)
    for row in queries.versions(session, name):
        if row.parent == parent.digest and canonical_json(row.recipe) == wanted:
            return version_of(row)
    return None


def origin_of(session: Session, parent: str | None) -> str | None:
    """What to call the version with the digest `parent`: its reference, or the digest where it isn't known here."""
    if parent is None:
        return None
    rows = queries.versions_with_digest(session, parent)
    return version_of(rows[0]).ref if rows else parent
