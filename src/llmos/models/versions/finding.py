"""Finds the version that a reference names, or says what was probably meant."""

from collections.abc import Callable, Collection

from sqlalchemy.orm import Session

from llmos.core.errors import ModelNotFound
from llmos.core.names import Reference
from llmos.core.suggest import nearest
from llmos.core.versioning.finding import NoSuchVersion, pick
from llmos.core.versioning.noun import Noun
from llmos.core.versioning.queries import aliases
from llmos.models import queries
from llmos.models.tables import MODELS, VersionRow


class Finder:
    """Finds versions in the database."""

    noun: Noun = MODELS

    def __init__(self, catalog_names: Callable[[], Collection[str]]) -> None:
        """`catalog_names`: called only to explain why a model isn't found, since reading the catalog takes time."""
        self._catalog_names = catalog_names

    def key(self, name: str) -> str:
        """Return the key of a model, which is its name."""
        return name

    def version(self, session: Session, reference: Reference) -> VersionRow:
        """Return the version's row: the newest one that is not an adapter, where the reference is only a model.

        Raises ModelNotFound with similar names.
        """
        rows = queries.versions(session, reference.name)
        if not rows:
            raise self._model_not_found(session, reference.name)
        if reference.is_whole:
            rows = [row for row in rows if row.adapts is None]
        try:
            return pick(rows, reference, aliases(session, MODELS, reference.name))
        except NoSuchVersion as error:
            raise ModelNotFound(str(error), param="model") from None

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
