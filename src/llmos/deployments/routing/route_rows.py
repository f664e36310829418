"""Conversion of a Route and its moves from and to their database rows."""

from sqlalchemy.orm import Session

from llmos.deployments.routing.route import STICKY, Move, Route, Shadow
from llmos.deployments.tables import RouteMoveRow, RouteRow, RouteTargetRow


def route_of(row: RouteRow) -> Route:
    weighted = [each for each in row.targets if each.role == "weighted"]
    shadows = [Shadow(each.target, each.percent or 100.0) for each in row.targets if each.role == "shadow"]
    return Route(
        name=row.name,
        percent_of={each.target: each.percent or 0.0 for each in weighted},
        fallbacks=tuple(each.target for each in row.targets if each.role == "fallback"),
        shadow=shadows[0] if shadows else None,
        sticky=next(sticky for sticky in STICKY if sticky == row.sticky),
        timeout_seconds=row.timeout_seconds,
        cache=row.cache,
        updated_at=row.updated_at,
    )


def write(session: Session, row: RouteRow | None, route: Route) -> None:
    """Write the route into its rows. `row`: the present one; None for a new route."""
    if row is None:
        row = RouteRow(name=route.name)
        session.add(row)
    row.sticky, row.timeout_seconds, row.updated_at = route.sticky, route.timeout_seconds, route.updated_at
    row.cache = route.cache
    # The old rows are deleted first, because the new ones have the same keys.
    row.targets.clear()
    session.flush()
    shadows = [] if route.shadow is None else [(route.shadow.target, route.shadow.percent)]
    roles: dict[str, list[tuple[str, float | None]]] = {
        "weighted": [*route.percent_of.items()],
        "fallback": [(target, None) for target in route.fallbacks],
        "shadow": [*shadows],
    }
    for role, targets in roles.items():
        for index, (target, percent) in enumerate(targets):
            row.targets.append(RouteTargetRow(role=role, place=index, target=target, percent=percent))
    session.flush()


def move_of(row: RouteMoveRow) -> Move:
    return Move(
        route=row.route,
        moved_at=row.moved_at,
        moved_by=row.moved_by,
        reason=row.reason,
        before=row.before,
        after=row.after,
    )
