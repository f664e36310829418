"""Finds the version of a project's dataset that a reference names, or says what was probably meant."""

from sqlalchemy.orm import Session

from llmos.core.errors import NotFound
from llmos.core.names import Reference
from llmos.core.suggest import nearest
from llmos.core.versioning.finding import NoSuchVersion, pick
from llmos.core.versioning.noun import Noun
from llmos.core.versioning.queries import aliases
from llmos.data.datasets import queries
from llmos.data.datasets.tables import DATASETS, DatasetVersionRow


class ProjectFinder:
    """Finds the versions of one project. Those of another one don't exist for it."""

    noun: Noun = DATASETS

    def __init__(self, project: str) -> None:
        self.project = project

    def key(self, name: str) -> str:
        """Return the key of a name in this project."""
        return f"{self.project}/{name}"

    def version(self, session: Session, reference: Reference) -> DatasetVersionRow:
        """Return the version's row: the newest one, where the reference is only a name.

        Raises NotFound with similar names.
        """
        key = self.key(reference.name)
        rows = queries.versions(session, key)
        if not rows:
            raise self._not_found(session, reference.name)
        try:
            return pick(rows, reference, aliases(session, DATASETS, key))
        except NoSuchVersion as error:
            raise NotFound(str(error), param="dataset") from None

    def _not_found(self, session: Session, name: str) -> NotFound:
        names = queries.names(session, self.project)
        if similar := nearest(name, names):
            return NotFound(f"There is no dataset {name!r}. Did you mean {' or '.join(similar)}?", param="dataset")
        return NotFound(
            f"There is no dataset {name!r}. There are: {', '.join(names) or 'none'}."
            f" To make one: llmos dataset import FILE --name {name}",
            param="dataset",
        )
