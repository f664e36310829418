"""Routes: the names that callers ask for, each with its targets by weight. A target is a model, never a route."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy.orm import Session

from llmos.core.actions import describe_action
from llmos.core.clock import Clock, utc_now
from llmos.core.errors import BadRequest, Conflict, LLMOSError, ModelNotFound
from llmos.deployments import queries
from llmos.deployments.backend import Target
from llmos.deployments.routing.resolution import NameResolver
from llmos.deployments.routing.route import Move, Route, RouteSettings, check_route, with_weights
from llmos.deployments.routing.route_names import LATEST, check_route_name
from llmos.deployments.routing.route_rows import move_of, route_of, write
from llmos.deployments.superseding import lock_rollouts, supersede
from llmos.deployments.tables import RolloutRow, RouteMoveRow, RouteRow
from llmos.deployments.targets import check_percents
from llmos.models.registry import Registry
from llmos.models.versions.versions import Version

MAX_MOVES = 1000
"""Moves of a history that are returned by default: the newest."""


class Routes(NameResolver):
    """Resolves names, and changes the routes. Any thread may call any method."""

    def __init__(self, registry: Registry, *, clock: Clock = utc_now) -> None:
        super().__init__(registry)
        self._clock = clock

    def set(
        self,
        name: str,
        target: str | Mapping[str, float],
        settings: RouteSettings | None = None,
        *,
        reason: str | None = None,
        actor: str,
    ) -> Route:
        """Set what answers to a name: one target, or several with the percent of the calls that each gets.

        Replaces the whole route; what it was before is in its history. Other targets or weights end the route's
        rollout. Raises ModelNotFound for a target that isn't on this machine, UnsupportedModel for one that can't run,
        NotFound for an unknown provider, and BadRequest for an impossible route.
        """
        name = check_route_name(name)
        self._check_shadows_nothing(name)
        settings = settings or RouteSettings()
        route = check_route(
            Route(
                name=name,
                percent_of={target: 100.0} if isinstance(target, str) else target,
                fallbacks=settings.fallbacks,
                shadow=settings.shadow,
                sticky=settings.sticky,
                timeout_seconds=settings.timeout_seconds,
                cache=settings.cache,
                updated_at=self._clock(),
            )
        )
        self._check_targets(name, route.targets)
        with self._database.transaction(frees_space=True) as session:
            rollouts = lock_rollouts(session, name)
            row = queries.route(session, name, for_update=True)
            self._supersede(session, rollouts, row, route, reason, actor)
            return self._put(session, row, route, reason, actor)

    def set_weights(self, name: str, percent_of: Mapping[str, float], reason: str, *, actor: str) -> Route:
        """Replace the weights of a route, all at once. The rest of the route stays.

        The next call uses the new weights; running calls stay where they are. A target with 0 % is dropped, a new one
        is added. Raises NotFound for an unknown route, otherwise as set does.
        """
        self._check_targets(name, list(check_percents(percent_of)))
        name = name.removesuffix(LATEST)
        with self._database.transaction(frees_space=True) as session:
            rollouts = lock_rollouts(session, name)
            row = self._row(session, name, for_update=True)
            self._supersede(session, rollouts, row, with_weights(route_of(row), percent_of), reason, actor)
            return self.set_weights_in(session, name, percent_of, reason=reason, actor=actor)

    def set_weights_in(
        self, session: Session, name: str, percent_of: Mapping[str, float], *, reason: str, actor: str
    ) -> Route:
        """Replace the weights in the transaction of the caller, who has checked that the targets exist."""
        row = self._row(session, name, for_update=True)
        route = replace(with_weights(route_of(row), percent_of), updated_at=self._clock())
        return self._put(session, row, route, reason, actor)

    def percents_in(self, session: Session, name: str) -> Mapping[str, float] | None:
        """Return a route's weights and lock them until the transaction ends. None if there is no such route."""
        row = queries.route(session, name, for_update=True)
        return None if row is None else route_of(row).percent_of

    def version_to_promote(self, name: str, ref: str) -> Version:
        """Return the version that `ref` names, if it can be promoted on the route.

        Raises ModelNotFound; BadRequest for a version that can't be a target of this route; Conflict if it gets all
        calls already, or if a target names it by a reference that isn't fixed, and so would change with it.
        """
        version, route = self._registry.resolve(ref), self.get(name)
        if route.percent_of == {version.ref: 100.0}:
            raise Conflict(f"{version.ref} already answers all calls to {name}.")
        for target in route.percent_of:
            found = self._resolve_or_error(route, target)
            if target != version.ref and not isinstance(found, LLMOSError) and found.version == version:
                others = [each.ref for each in self._registry.list() if each.model == version.model and each != version]
                pinned = others[-1] if others else "MODEL@NUMBER"
                raise Conflict(
                    f"{name} points at {target}, which is {version.ref} now, so there is nothing to replace or to roll"
                    f" back to. Pin the version before: llmos route set {name} {pinned}"
                )
        self._check_targets(name, [*route.percent_of, version.ref])
        return version

    def remove(self, name: str, *, reason: str | None = None, actor: str) -> None:
        """Remove a route. Its history stays, and its rollout ends. Raises NotFound."""
        name = name.removesuffix(LATEST)
        with self._database.transaction(frees_space=True) as session:
            rollouts = lock_rollouts(session, name)
            row = self._row(session, name, for_update=True)
            supersede(
                session, rollouts, change=f"removed the route {name}", reason=reason, actor=actor, now=self._clock()
            )
            self._record_move(session, route_of(row), None, reason, actor)
            session.delete(row)

    def history(self, name: str, limit: int = MAX_MOVES) -> Sequence[Move]:
        """Return the moves of a route, newest first, even after it was removed. Raises NotFound for an unknown name."""
        name = name.removesuffix(LATEST)
        with self._database.session() as session:
            moves = [move_of(row) for row in queries.route_moves(session, name, limit)]
            if not moves:
                self._row(session, name)  # A route that was never changed has no moves.
        return moves

    def _supersede(
        self,
        session: Session,
        rollouts: Sequence[RolloutRow],
        row: RouteRow | None,
        after: Route,
        reason: str | None,
        actor: str,
    ) -> None:
        """End the route's rollout if a person gives the route other targets or weights."""
        if row is not None and route_of(row).percent_of != after.percent_of:
            shares = ", ".join(f"{target} {percent:g} %" for target, percent in after.percent_of.items())
            change = f"set the targets of {after.name} by hand: {shares}"
            supersede(session, rollouts, change=change, reason=reason, actor=actor, now=self._clock())

    def _put(self, session: Session, row: RouteRow | None, route: Route, reason: str | None, actor: str) -> Route:
        before = None if row is None else route_of(row)
        write(session, row, route)
        describe_action(targets=", ".join(f"{target} {share:g} %" for target, share in route.percent_of.items()))
        if before is None or before.snapshot() != route.snapshot():
            self._record_move(session, before, route, reason, actor)
        return route

    def _record_move(
        self, session: Session, before: Route | None, after: Route | None, reason: str | None, actor: str
    ) -> None:
        changed = before or after
        assert changed is not None, "a move has a route before or after it"
        session.add(
            RouteMoveRow(
                route=changed.name,
                moved_at=self._clock(),
                moved_by=actor,
                reason=reason,
                before=None if before is None else before.snapshot(),
                after=None if after is None else after.snapshot(),
            )
        )

    def _check_shadows_nothing(self, name: str) -> None:
        """Raise Conflict for the name of an alias: callers who ask for it would get the route's target instead."""
        if ":" in name and "/" not in name and self.is_there(name):
            raise Conflict(f"{name} is an alias of a version. Choose another name, or remove it first: llmos rm {name}")

    def _check_targets(self, name: str, targets: Sequence[str]) -> None:
        """Raise what is wrong with well-formed targets: they don't exist, can't run, or can't be mixed."""
        found = [self._new_target(name, target) for target in targets]
        refs = {each.served.ref for each in found}
        whats = {"embed": "vectors", "rerank": "scores"}
        makers = [(each.served.ref, whats[each.task]) for each in found if each.task in whats]
        if makers and len(refs) > 1:
            ref, what = makers[0]
            raise BadRequest(
                f"{ref} makes {what}, which can't be compared between two models. Make it the only target of {name}.",
                param="targets",
            )

    def _new_target(self, name: str, target: str) -> Target:
        """Raises BadRequest if the target is a route, ModelNotFound or NotFound if it doesn't exist, and
        UnsupportedModel if it can't run."""
        try:
            found = self._resolve_target(target)
        except ModelNotFound as error:
            with self._database.session() as session:
                row = queries.route(session, target)
            if row is None:
                raise
            model = route_of(row).target
            raise BadRequest(
                f"{target} is itself a route. Point {name} at its model: llmos route set {name} {model}", param="target"
            ) from error
        if found.version is not None:
            self._registry.check_runs(found.version, param="target")
        return found
