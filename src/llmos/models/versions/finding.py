"""From a reference to a version; and what to say where it leads to none."""

from collections.abc import Callable

from sqlalchemy.orm import Session

from llmos.core.errors import ModelNotFound
from llmos.core.suggest import nearest
from llmos.models import queries
from llmos.models.catalog import Catalog, Entry
from llmos.models.names import Reference, parse_reference
from llmos.models.tables import VersionRow
from llmos.models.versions.versions import version_of


class Finder:
    def __init__(self, catalog: Callable[[], Catalog]) -> None:
        """`catalog` is asked only where something isn't found: reading it takes time."""
        self._catalog = catalog

    def version(self, session: Session, reference: Reference) -> VersionRow:
        """Raises ModelNotFound, with what was probably meant."""
        rows = queries.versions(session, reference.model)
        if not rows:
            raise self._model_not_found(session, reference.model)
        if reference.alias is not None:
            aliases = queries.aliases(session, reference.model)
            number = aliases.get(reference.alias)
            found = [row for row in rows if row.number == number]
            known = [f"{reference.model}:{alias}" for alias in aliases] or ["no alias"]
        elif reference.number is not None:
            found = [row for row in rows if row.number == reference.number]
            known = [version_of(row).ref for row in rows]
        elif reference.digest is not None:
            found = [row for row in rows if row.digest.startswith(reference.digest)]
            known = [f"{reference.model}@{row.digest[:19]}" for row in rows]
        else:
            found, known = [row for row in rows if row.adapts is None], []
        if not found:
            raise ModelNotFound(
                f"{reference.model} is here, but not that version of it; there is {', '.join(known)}.", param="model"
            )
        return found[-1]

    def entry(self, name: str) -> Entry:
        """Return the catalog's entry. Raises ModelNotFound, with the nearest names."""
        reference, catalog = parse_reference(name), self._catalog()
        entry = catalog.get(reference.model)
        if entry is None:
            meant = nearest(reference.model, catalog.names())
            hint = f"Did you mean {' or '.join(meant)}?" if meant else f"It has {', '.join(catalog.names())}."
            raise ModelNotFound(
                f"The catalog has no model {name!r}. {hint} A model of your own comes in with:"
                f" llmos import PATH --name {reference.model}",
                param="model",
            )
        if reference != Reference(entry.name):
            raise ModelNotFound(f"The catalog has one version of {entry.name}: llmos pull {entry.name}", param="model")
        return entry

    def _model_not_found(self, session: Session, name: str) -> ModelNotFound:
        catalog = self._catalog()
        if catalog.get(name) is not None:
            return ModelNotFound(f"{name} isn't on this machine yet. Get it with: llmos pull {name}", param="model")
        here, known = queries.model_names(session), catalog.names()
        if meant := nearest(name, {*here, *known}):
            ways = [word if word in here else f"{word} (llmos pull {word})" for word in meant]
            return ModelNotFound(f"There is no model {name!r}. Did you mean {' or '.join(ways)}?", param="model")
        listed = ", ".join(here) or "none yet"
        return ModelNotFound(
            f"There is no model {name!r}. Here: {listed}. In the catalog: {', '.join(known)}.", param="model"
        )
