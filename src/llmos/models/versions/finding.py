"""Finds the version that a reference names, or says what was probably meant."""

from collections.abc import Callable, Collection

from sqlalchemy.orm import Session

from llmos.core.errors import ModelNotFound
from llmos.core.names import NEWEST, Reference
from llmos.core.suggest import nearest
from llmos.models import queries
from llmos.models.tables import VersionRow
from llmos.models.versions.versions import version_of


class Finder:
    """Finds versions in the database."""

    def __init__(self, catalog_names: Callable[[], Collection[str]]) -> None:
        """`catalog_names`: called only to explain why a model isn't found, since reading the catalog takes time."""
        self._catalog_names = catalog_names

    def version(self, session: Session, reference: Reference) -> VersionRow:
        """Return the version's row: the newest one that is not an adapter, where the reference is only a model.

        Raises ModelNotFound with similar names.
        """
        rows = queries.versions(session, reference.model)
        if not rows:
            raise self._model_not_found(session, reference.model)
        aliases = queries.aliases(session, reference.model) if reference.alias is not None else {}
        if reference.alias is not None and (reference.alias != NEWEST or NEWEST in aliases):
            number = aliases.get(reference.alias)
            found = [row for row in rows if row.number == number]
            known = [f"{reference.model}:{alias}" for alias in aliases] or ["no aliases"]
        elif reference.number is not None:
            found = [row for row in rows if row.number == reference.number]
            known = [version_of(row).ref for row in rows]
        elif reference.digest is not None:
            found = [row for row in rows if row.digest.startswith(reference.digest)]
            known = [f"{reference.model}@{row.digest[:19]}" for row in rows]
        else:
            found, known = [row for row in rows if row.adapts is None], []
        if not found:
            what = "version" if reference.alias is None else "alias"
            raise ModelNotFound(f"{reference.model} has no such {what}. It has {', '.join(known)}.", param="model")
        return found[-1]

    def _model_not_found(self, session: Session, name: str) -> ModelNotFound:
        in_catalog = self._catalog_names()
        if name in in_catalog:
            return ModelNotFound(f"{name} isn't on this machine. Download it with: llmos pull {name}", param="model")
        local = queries.model_names(session)
        if similar := nearest(name, {*local, *in_catalog}):
            options = [each if each in local else f"{each} (llmos pull {each})" for each in similar]
            return ModelNotFound(f"There is no model {name!r}. Did you mean {' or '.join(options)}?", param="model")
        return ModelNotFound(
            f"There is no model {name!r}. On this machine: {', '.join(local) or 'none'}."
            f" In the catalog: {', '.join(in_catalog)}.",
            param="model",
        )
