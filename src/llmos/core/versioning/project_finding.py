"""Finds the version of a project's name that a reference names, or says what was probably meant."""

from typing import Generic

from sqlalchemy.orm import Session

from llmos.core.errors import NotFound
from llmos.core.names import Reference
from llmos.core.suggest import nearest
from llmos.core.versioning import project_queries as queries
from llmos.core.versioning.finding import NoSuchVersion, pick
from llmos.core.versioning.noun import ProjectNoun, VersionRow
from llmos.core.versioning.queries import aliases


class ProjectFinder(Generic[VersionRow]):
    """Finds the versions of one project. Those of another one don't exist for it."""

    def __init__(self, noun: ProjectNoun[VersionRow], project: str) -> None:
        self.noun, self.project = noun, project

    def key(self, name: str) -> str:
        """Return the key of a name in this project."""
        return f"{self.project}/{name}"

    def version(self, session: Session, reference: Reference) -> VersionRow:
        """Return the version's row: the newest one, where the reference is only a name.

        Raises NotFound with similar names.
        """
        key = self.key(reference.name)
        rows = queries.versions(session, self.noun, key)
        if not rows:
            raise self._not_found(session, reference.name)
        try:
            return pick(rows, reference, aliases(session, self.noun, key))
        except NoSuchVersion as error:
            raise NotFound(str(error), param=self.noun.name) from None

    def _not_found(self, session: Session, name: str) -> NotFound:
        names, word = queries.names(session, self.noun, self.project), self.noun.name
        if similar := nearest(name, names):
            return NotFound(f"There is no {word} {name!r}. Did you mean {' or '.join(similar)}?", param=word)
        return NotFound(
            f"There is no {word} {name!r}. There are: {', '.join(names) or 'none'}."
            f" To make one: {self.noun.making.format(name=name)}",
            param=word,
        )
