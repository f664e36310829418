"""Derived versions: those that were made from another version by a recipe, such as a quantized or pruned one.

All versions of a derived model have parents of one model, so that a name never begins to mean another model's weights.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from llmos.core.database import Database
from llmos.core.errors import BadRequest, Conflict
from llmos.core.names import check_name
from llmos.core.progress import Progress, no_progress
from llmos.core.store.store import Store
from llmos.models import queries
from llmos.models.versions.manifest import canonical_json
from llmos.models.versions.recording import Origin, Recorder
from llmos.models.versions.versions import Version, version_of


class DerivedVersions:
    """Adds and finds derived versions. Any thread and any process may use it."""

    def __init__(self, database: Database, recorder: Recorder, store: Store) -> None:
        self._database, self._recorder, self._store = database, recorder, store

    def add(
        self,
        name: str,
        files: Mapping[str, Path],
        *,
        parent: Version,
        recipe: Mapping[str, Any],
        actor: str | None = None,
        progress: Progress = no_progress,
    ) -> Version:
        """Add the version that `recipe` made from `parent` to the model `name`.

        It has the parent's license and sampling parameters. The same recipe with the same files is the same version.
        `actor`: who made it; None is the user of this process. Raises what check() raises, and BadRequest for a recipe
        that can't be written as JSON.
        """
        canonical_json(recipe)
        origin = Origin(source=f"made:{parent.ref}", license=parent.license, parent=parent, recipe=recipe, actor=actor)
        for path in files.values():
            path.chmod(0o444)  # Where the file system has hard links, the file becomes the blob.
        with self._store.publishing():
            stored = self._recorder.add_files(files, progress)
            return self._recorder.record(name, stored, origin, lambda session: _check_name(session, name, parent))

    def check(self, name: str, parent: Version) -> None:
        """Raise Conflict where `name` is a model that was not derived from the parent's model, and BadRequest for an
        invalid name or a parent that is an adapter."""
        with self._database.session() as session:
            _check_name(session, name, parent)

    def find(self, name: str, parent: Version, recipe: Mapping[str, Any]) -> Version | None:
        """Return the version of the model `name` that this recipe made from `parent`, or None."""
        canonical = canonical_json(recipe)
        with self._database.session() as session:
            for row in queries.versions(session, name):
                if row.parent == parent.digest and canonical_json(row.recipe) == canonical:
                    return version_of(row)
        return None


def find_ref(session: Session, digest: str, preferred: str | None = None) -> str:
    """Return the reference of the version with this digest, or the digest where no such version is known.

    The same bytes may have several names; `preferred` is taken if it is one of them.
    """
    refs = [version_of(row).ref for row in queries.versions_with_digest(session, digest)]
    return preferred if preferred in refs else refs[0] if refs else digest


def _check_name(session: Session, name: str, parent: Version) -> None:
    check_name(name, "a model")
    if parent.adapts is not None:
        raise BadRequest(
            f"{parent.ref} is an adapter and has no weights of its own. Use the version that it adapts:"
            f" {parent.model}@{parent.adapts}",
            param="model",
        )
    digests = queries.digests_of(session, parent.model)
    for row in queries.versions(session, name):
        if row.parent not in digests:
            how = f"was made from {find_ref(session, row.parent)}" if row.parent else "wasn't made from another model"
            raise Conflict(
                f"The name {name} is taken: {version_of(row).ref} {how}. Choose another name with --name.", param="name"
            )
