"""Resolution of names: the targets that a route's or a model's name leads to. Reads routes and changes none."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy.orm import Session

from llmos.core.errors import BadRequest, LLMOSError, ModelNotFound, NotFound
from llmos.core.names import APP_PREFIX
from llmos.core.suggest import did_you_mean, nearest
from llmos.deployments import queries
from llmos.deployments.backend import Target
from llmos.deployments.local_backend import LocalTarget
from llmos.deployments.providers.provider_model import ProviderModel
from llmos.deployments.providers.providers import provider_of
from llmos.deployments.routing.route import Route
from llmos.deployments.routing.route_names import LATEST, check_route_name
from llmos.deployments.routing.route_rows import route_of
from llmos.deployments.served_model import ServedModel
from llmos.deployments.tables import RouteRow
from llmos.deployments.targets import remote_name
from llmos.models.registry import Registry
from llmos.models.versions.versions import Version

DEFAULT_ROUTE = "dialogue"
"""Points at the default model from the start. Its owner may point it anywhere."""


@dataclass(frozen=True, slots=True)
class NameTargets:
    """The targets that a name leads to."""

    name: str
    route: Route | None
    """None for the name of a model."""
    targets: Mapping[str, Target | LLMOSError]
    """By the reference as the route writes it: the target, or why there is none. A model's name has one target."""

    @property
    def main(self) -> str:
        """The reference that gets most of the calls."""
        return self.name if self.route is None else self.route.target


class NameResolver:
    """Any thread may call any method."""

    def __init__(self, registry: Registry) -> None:
        self._database, self._registry = registry.database, registry

    def resolve(self, name: str) -> NameTargets:
        """Return the targets of the route with this name, or of the model if there is no such route.

        Raises ModelNotFound, with suggestions and the command that sets a route of this name.
        """
        with self._database.session() as session:
            row = queries.route(session, name.removesuffix(LATEST))
            route = None if row is None else route_of(row)
        if route is None:
            return NameTargets(name, None, {name: LocalTarget(self._resolve_model(name))})
        return NameTargets(name, route, {target: self._resolve_or_error(route, target) for target in route.targets})

    def resolve_primary(self, name: str) -> ServedModel:
        """Return the model that answers most of the calls to a name. Raises ModelNotFound, also for a removed one."""
        return self._main_target(name).served

    def resolve_local(self, name: str) -> Version:
        """Return the version on this machine that answers most of the calls to a name.

        Raises ModelNotFound, and BadRequest if a provider's model answers them.
        """
        return self._main_target(name).local_version(name)

    def local_versions(self, name: str) -> Sequence[Version]:
        """Return the versions on this machine that answer calls to a name. Empty if only providers' models do.

        Raises ModelNotFound.
        """
        self._main_target(name)
        found = self.resolve(name)
        refs = [name] if found.route is None else found.route.percent_of
        targets = [found.targets[ref] for ref in refs]
        versions = [None if isinstance(target, LLMOSError) else target.version for target in targets]
        return [version for version in versions if version is not None]

    def refs(self, name: str) -> set[str]:
        """Return the references of all models that a name may lead to. Raises ModelNotFound for an unknown name."""
        targets = self.resolve(name).targets.values()
        return {target.served.ref for target in targets if not isinstance(target, LLMOSError)}

    def is_there(self, target: str) -> bool:
        """Return False if the target's model or provider was removed."""
        try:
            self._resolve_target(target)
        except LLMOSError:
            return False
        return True

    def get(self, name: str) -> Route:
        """Raises NotFound, with suggestions."""
        with self._database.session() as session:
            return route_of(self._row(session, name.removesuffix(LATEST)))

    def list(self) -> Sequence[Route]:
        with self._database.session() as session:
            return [route_of(row) for row in queries.routes(session)]

    def _main_target(self, name: str) -> Target:
        found = self.resolve(name)
        target = found.targets[found.main]
        if isinstance(target, LLMOSError):
            raise target
        return target

    def _resolve_or_error(self, route: Route, target: str) -> Target | LLMOSError:
        try:
            return self._resolve_target(target)
        except ModelNotFound as error:
            return ModelNotFound(f"The route {route.name} points at {target}. {error.message}", param="model")
        except LLMOSError as error:
            return error

    def _resolve_target(self, target: str) -> Target:
        if (remote := remote_name(target)) is None:
            return LocalTarget(self._registry.resolve(target))
        with self._database.session() as session:
            return ProviderModel(provider_of(session, remote.provider), remote.model)

    def _resolve_model(self, name: str) -> Version:
        if name.startswith(APP_PREFIX):
            raise ModelNotFound(
                f"No application {name.removeprefix(APP_PREFIX)[:64]!r} is deployed here. `llmos app deployments` lists"
                " those that are; `llmos apply DIR` releases one.",
                param="model",
            )
        try:
            return self._registry.resolve(name)
        except ModelNotFound as error:
            if name.endswith(LATEST) and self.is_there(name.removesuffix(LATEST)):
                return self._registry.resolve(name.removesuffix(LATEST))
            not_found = error
        except BadRequest:
            # To a caller, anything is a name: "acme/gpt" is an unknown model and not a malformed reference.
            not_found = ModelNotFound(f"There is no model {name[:80]!r}.", param="model")
        raise self._with_suggestions(name, not_found) from not_found

    def _with_suggestions(self, name: str, error: ModelNotFound) -> ModelNotFound:
        """Add the routes with similar names, and the command that sets a route of this name."""
        with self._database.session() as session:
            routes = queries.route_names(session)
        hints = [f"There is a route {' and a route '.join(meant)}."] if (meant := nearest(name, routes)) else []
        if self._registry.catalog.get(name) is None:
            with suppress(BadRequest):
                hints.append(f"To answer to this name: {self._set_command(name)}")
        return ModelNotFound(" ".join([error.message, *hints]), param="model")

    def _row(self, session: Session, name: str, *, for_update: bool = False) -> RouteRow:
        """Raises NotFound, with suggestions."""
        row = queries.route(session, name, for_update=for_update)
        if row is None:
            hint = did_you_mean(name, queries.route_names(session))
            with suppress(BadRequest):
                hint += f" Set it with: {self._set_command(name)}"
            raise NotFound(f"There is no route {name[:80]!r}. {hint}", param="name")
        return row

    def _set_command(self, name: str) -> str:
        """Return the command that sets a route of this name, to the default model if that is on this machine.

        Raises BadRequest for a name that no route can have.
        """
        name = check_route_name(name)
        with self._database.session() as session:
            row = queries.route(session, DEFAULT_ROUTE)
            default = None if row is None else route_of(row)
        is_usable = default is not None and all(self.is_there(target) for target in default.targets)
        return f"llmos route set {name} {default.target if default and is_usable else 'MODEL'}"
