"""Routes: the names that callers ask for, and what answers: models here, models at providers, by weight.

A route points at models, never at a route.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.orm import Session

from llmos.core.clock import Clock, utc_now
from llmos.core.errors import BadRequest, Conflict, LLMOSError, ModelNotFound, NotFound
from llmos.core.suggest import nearest
from llmos.deployments import queries
from llmos.deployments.backend import Target
from llmos.deployments.local_backend import LocalTarget
from llmos.deployments.providers.provider_model import ProviderModel
from llmos.deployments.providers.providers import provider_of
from llmos.deployments.routing.route import Move, Route, Shadow, Sticky, checked, with_weights
from llmos.deployments.routing.route_rows import move_of, route_of, write
from llmos.deployments.served_model import ServedModel
from llmos.deployments.tables import RouteMoveRow, RouteRow
from llmos.deployments.targets import check_percents, remote_name
from llmos.models.names import check_name
from llmos.models.registry import Registry
from llmos.models.versions.versions import Version

DEFAULT_ROUTE = "dialogue"
"""Points at the default model from the start. The owner may point it anywhere."""

MAX_MOVES = 1000
"""Of a history, the newest, where a caller doesn't say."""


@dataclass(frozen=True, slots=True)
class NameTargets:
    """What a name leads to."""

    name: str
    route: Route | None
    """None for the name of a model."""
    targets: Mapping[str, Target | LLMOSError]
    """What answers, or why nothing does, by the reference as the route writes it. For a model's name: one target."""

    @property
    def main(self) -> str:
        """The reference that gets most of the calls."""
        return self.name if self.route is None else self.route.target


class Routes:
    def __init__(self, registry: Registry, *, clock: Clock = utc_now) -> None:
        self._database, self._registry, self._clock = registry.database, registry, clock

    def resolve(self, name: str) -> NameTargets:
        """Return everything that a name leads to: of the route if there is one, else the model.

        Raises ModelNotFound, which says what was probably meant and which command gives the name a meaning.
        """
        with self._database.session() as session:
            row = queries.route(session, name)
            route = None if row is None else route_of(row)
        if route is None:
            return NameTargets(name, None, {name: LocalTarget(self._resolve_model(name))})
        return NameTargets(name, route, {target: self._resolve_or_error(route, target) for target in route.targets})

    def resolve_primary(self, name: str) -> ServedModel:
        """Return the model that answers most of the calls to a name. Raises ModelNotFound, also for a removed one."""
        return self._main_target(name).served

    def refs(self, name: str) -> set[str]:
        """Return the references of all models that a name may lead to. Raises ModelNotFound for an unknown name."""
        targets = self.resolve(name).targets.values()
        return {target.served.ref for target in targets if not isinstance(target, LLMOSError)}

    def resolve_local(self, name: str) -> Version:
        """Return the version on this machine that answers most of the calls to a name. Raises as find does, and
        BadRequest where a provider's model answers them."""
        return self._main_target(name).local_version(name)

    def local_versions(self, name: str) -> Sequence[Version]:
        """Return the versions on this machine among what answers to a name: none where a provider's models do.

        Raises ModelNotFound as find does.
        """
        self._main_target(name)
        found = self.resolve(name)
        refs = [name] if found.route is None else found.route.percent_of
        targets = [found.targets[ref] for ref in refs]
        versions = [None if isinstance(target, LLMOSError) else target.version for target in targets]
        return [version for version in versions if version is not None]

    def get(self, name: str) -> Route:
        """Raises NotFound, with the nearest names, for a route that there is not."""
        with self._database.session() as session:
            return route_of(self._row(session, name))

    def list(self) -> Sequence[Route]:
        with self._database.session() as session:
            return [route_of(row) for row in queries.routes(session)]

    def dangling(self) -> Sequence[Route]:
        """The routes with a target that isn't there."""
        return [
            route
            for route in self.list()
            if any(isinstance(self._resolve_or_error(route, target), LLMOSError) for target in route.targets)
        ]

    def leading_to(self, target: str) -> Sequence[str]:
        """The names of the routes that may ask this target, as it is written."""
        with self._database.session() as session:
            return queries.routes_to(session, target)

    def set(
        self,
        name: str,
        target: str | Mapping[str, float],
        *,
        fallbacks: Sequence[str] = (),
        shadow: Shadow | None = None,
        sticky: Sticky = "user",
        timeout_seconds: float | None = None,
        reason: str | None = None,
        actor: str,
    ) -> Route:
        """Say what answers to a name: one target, or several with the percent of the calls that each gets.

        Raises ModelNotFound for a target that isn't on this machine, NotFound for a provider that there is not, and
        BadRequest for a route that can't be meant. What the route was before is in its history.
        """
        check_name(name, "a route")
        route = checked(
            Route(
                name=name,
                percent_of={target: 100.0} if isinstance(target, str) else target,
                fallbacks=tuple(fallbacks),
                shadow=shadow,
                sticky=sticky,
                timeout_seconds=timeout_seconds,
                updated_at=self._clock(),
            )
        )
        self._check_targets(name, route.targets)
        with self._database.transaction() as session:
            return self._put(session, queries.route(session, name, for_update=True), route, reason, actor)

    def set_weights(self, name: str, percent_of: Mapping[str, float], reason: str, *, actor: str) -> Route:
        """Share a route's calls out anew among these targets, all at once; the rest of the route stays as it is.

        The next call goes by the new weights, and calls that run stay where they are. A target at 0 is dropped, one
        that the route did not have comes in. Raises NotFound for a route that there is not, otherwise as set does.
        """
        self._check_targets(name, list(check_percents(percent_of)))
        with self._database.transaction() as session:
            return self.set_weights_in(session, name, percent_of, reason=reason, actor=actor)

    def set_weights_in(
        self, session: Session, name: str, percent_of: Mapping[str, float], *, reason: str, actor: str
    ) -> Route:
        """The same in a transaction of somebody else, who has looked at the targets."""
        row = self._row(session, name, for_update=True)
        route = replace(with_weights(route_of(row), percent_of), updated_at=self._clock())
        return self._put(session, row, route, reason, actor)

    def percents_in(self, session: Session, name: str) -> Mapping[str, float] | None:
        """Return a route's weights, which nobody else changes before the transaction ends; None where it is gone."""
        row = queries.route(session, name, for_update=True)
        return None if row is None else route_of(row).percent_of

    def is_there(self, target: str) -> bool:
        """Return whether a target leads anywhere: that its model wasn't removed, nor its provider."""
        try:
            self._resolve_target(target)
        except LLMOSError:
            return False
        return True

    def version_to_promote(self, name: str, ref: str) -> Version:
        """Return the version that could take more of a route's calls over.

        Raises ModelNotFound; BadRequest for a version that the route can't have beside its targets; and Conflict where
        it has all of the calls, or where a target is no fixed version, which would move by itself.
        """
        version, route = self._registry.resolve(ref), self.get(name)
        if route.percent_of == {version.ref: 100.0}:
            raise Conflict(f"{name} answers with {version.ref} alone already.")
        for target in route.percent_of:
            end = self._resolve_or_error(route, target)
            if target != version.ref and not isinstance(end, LLMOSError) and end.version == version:
                others = [each.ref for each in self._registry.list() if each.model == version.model and each != version]
                raise Conflict(
                    f"{name} points at {target}, which is {version.ref} now: there is nothing to go over to or back."
                    f" Pin what answered before: llmos route set {name} {others[-1] if others else 'MODEL@NUMBER'}"
                )
        self._check_targets(name, [*route.percent_of, version.ref])
        return version

    def remove(self, name: str, *, reason: str | None = None, actor: str) -> None:
        with self._database.transaction() as session:
            row = self._row(session, name, for_update=True)
            self._record_move(session, name, route_of(row), None, reason, actor)
            session.delete(row)

    def history(self, name: str, limit: int = MAX_MOVES) -> Sequence[Move]:
        """Return the moves of a route, the newest first; also of one that was removed.

        Raises NotFound for a name that never was a route.
        """
        with self._database.session() as session:
            moves = [move_of(row) for row in queries.route_moves(session, name, limit)]
            if not moves:
                self._row(session, name)  # One that no one has changed has no history, and is a route all the same.
        return moves

    def command_for(self, name: str) -> str:
        """Return the command that gives a name a meaning, ready to be pasted where the default model is here.

        Raises BadRequest for a name that no route can have.
        """
        check_name(name, "a route")
        dangling = self.dangling()
        defaults = [route.target for route in self.list() if route.name == DEFAULT_ROUTE and route not in dangling]
        return f"llmos route set {name} {defaults[0] if defaults else 'MODEL'}"

    def _put(self, session: Session, row: RouteRow | None, route: Route, reason: str | None, actor: str) -> Route:
        before = None if row is None else route_of(row)
        write(session, row, route)
        if before is None or before.settings() != route.settings():
            self._record_move(session, route.name, before, route, reason, actor)
        return route

    def _record_move(
        self, session: Session, name: str, before: Route | None, after: Route | None, reason: str | None, actor: str
    ) -> None:
        def settings(route: Route | None) -> dict[str, Any] | None:
            return None if route is None else route.settings()

        session.add(
            RouteMoveRow(
                route=name,
                moved_at=self._clock(),
                moved_by=actor,
                reason=reason,
                before=settings(before),
                after=settings(after),
            )
        )

    def _check_targets(self, name: str, targets: Sequence[str]) -> None:
        """Raise what is wrong with the targets, besides how they are spelled."""
        found = [self._target(name, target) for target in targets]
        refs = {each.served.ref for each in found}
        encoders = [each.served.ref for each in found if each.is_encoder]
        if encoders and len(refs) > 1:
            raise BadRequest(
                f"{encoders[0]} turns texts into vectors, and those of two models can't be compared. Give {name} this"
                " target alone.",
                param="targets",
            )

    def _target(self, name: str, target: str) -> Target:
        try:
            return self._resolve_target(target)
        except ModelNotFound as error:
            with self._database.session() as session:
                row = queries.route(session, target)
            if row is None:
                raise
            model = route_of(row).target
            raise BadRequest(
                f"{target} is a route itself. Point {name} at its model: llmos route set {name} {model}", param="target"
            ) from error

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

    def _main_target(self, name: str) -> Target:
        found = self.resolve(name)
        target = found.targets[found.main]
        if isinstance(target, LLMOSError):
            raise target
        return target

    def _row(self, session: Session, name: str, *, for_update: bool = False) -> RouteRow:
        row = queries.route(session, name, for_update=for_update)
        if row is None:
            raise self._not_found(name, queries.route_names(session))
        return row

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
            routes = queries.route_names(session)
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
