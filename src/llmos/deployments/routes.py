"""Routes: the names that callers ask for, and the models that answer. A route points at a model, never at a route."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from llmos.core.clock import Clock, utc_now
from llmos.core.errors import BadRequest, ModelNotFound, NotFound
from llmos.core.suggest import nearest
from llmos.deployments import queries
from llmos.deployments.tables import RouteRow
from llmos.models.names import check_name
from llmos.models.registry import Registry
from llmos.models.versions import Version

DEFAULT_ROUTE = "dialogue"
"""Points at the default model from the start. The owner may point it anywhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    name: str
    target: str
    """The reference of a model."""
    updated_at: datetime


class Routes:
    def __init__(self, registry: Registry, *, clock: Clock = utc_now) -> None:
        self._database, self._registry, self._clock = registry.database, registry, clock

    def resolve(self, name: str) -> Version:
        """Return the version that answers to a name: the route's if there is one, else the model's.

        Raises ModelNotFound, which says what was probably meant and which command gives the name a meaning.
        """
        with self._database.session() as session:
            row = queries.route(session, name)
        if row is None:
            return self._resolve_model(name)
        try:
            return self._registry.resolve(row.target)
        except ModelNotFound as error:
            raise ModelNotFound(f"The route {name} points at {row.target}. {error.message}", param="model") from error

    def get(self, name: str) -> Route:
        """Raises NotFound, with the nearest names, for a route that there is not."""
        with self._database.session() as session:
            row = queries.route(session, name)
            known = [each.name for each in queries.routes(session)]
        if row is None:
            raise self._not_found(name, known)
        return _route(row)

    def list(self) -> Sequence[Route]:
        with self._database.session() as session:
            return [_route(row) for row in queries.routes(session)]

    def dangling(self) -> Sequence[Route]:
        """The routes whose model isn't on this machine."""
        found = []
        for route in self.list():
            try:
                self._registry.resolve(route.target)
            except ModelNotFound:
                found.append(route)
        return found

    def set(self, name: str, target: str) -> Route:
        """Point a name at a model that is on this machine. Raises ModelNotFound for one that is not."""
        check_name(name, "a route")
        with self._database.session() as session:
            pointed_at = queries.route(session, target)
        try:
            self._registry.resolve(target)
        except ModelNotFound as error:
            if pointed_at is None:
                raise
            raise BadRequest(
                f"{target} is a route itself. Point {name} at its model: llmos route set {name} {pointed_at.target}",
                param="target",
            ) from error
        with self._database.transaction() as session:
            row = queries.route(session, name)
            if row is None:
                row = RouteRow(name=name)
                session.add(row)
            row.target, row.updated_at = target, self._clock()
            session.flush()
            return _route(row)

    def command_for(self, name: str) -> str:
        """Return the command that gives a name a meaning, ready to be pasted where the default model is here.

        Raises BadRequest for a name that no route can have.
        """
        check_name(name, "a route")
        dangling = self.dangling()
        defaults = [route.target for route in self.list() if route.name == DEFAULT_ROUTE and route not in dangling]
        return f"llmos route set {name} {defaults[0] if defaults else 'MODEL'}"

    def remove(self, name: str) -> None:
        with self._database.transaction() as session:
            row = queries.route(session, name)
            if row is None:
                raise self._not_found(name, [each.name for each in queries.routes(session)])
            session.delete(row)

    def _resolve_model(self, name: str) -> Version:
        try:
            return self._registry.resolve(name)
        except ModelNotFound as error:
            not_found = error
        except BadRequest:
            # Whatever a caller asks for is a name to the caller: "acme/gpt" is unknown rather than malformed.
            not_found = ModelNotFound(f"There is no model {name[:80]!r}.", param="model")
        raise self._with_the_command(name, not_found) from not_found

    def _with_the_command(self, name: str, error: ModelNotFound) -> ModelNotFound:
        """Add the routes that were perhaps meant, and how to give the name a meaning."""
        with self._database.session() as session:
            routes = [row.name for row in queries.routes(session)]
        hints = [f"There is a route {' and a route '.join(meant)}."] if (meant := nearest(name, routes)) else []
        if self._registry.catalog.get(name) is None:
            with suppress(BadRequest):
                hints.append(f"To answer to this name: {self.command_for(name)}")
        return ModelNotFound(" ".join([error.message, *hints]), param="model")

    def _not_found(self, name: str, known: Sequence[str]) -> NotFound:
        meant = nearest(name, known)
        hint = f"Did you mean {' or '.join(meant)}?" if meant else f"There is {', '.join(known) or 'none yet'}."
        with suppress(BadRequest):
            hint += f" Set it with: {self.command_for(name)}"
        return NotFound(f"There is no route {name[:80]!r}. {hint}", param="name")


def _route(row: RouteRow) -> Route:
    return Route(name=row.name, target=row.target, updated_at=row.updated_at)
