"""Permissions of endpoints: declared beside each endpoint, checked in one place, before the endpoint runs."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from llmos.gateway.http.open_paths import is_open
from llmos.security.callers import Caller
from llmos.security.permissions import Permission

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


def requires(permission: Permission) -> Callable[[Endpoint], Endpoint]:
    """Declare the permission that an endpoint needs.

    @router.delete("/{name}")
    @requires(Permission.MODELS_WRITE)
    async def remove_model(request: Request, name: str) -> Response: ...
    """

    def declare(endpoint: Endpoint) -> Endpoint:
        endpoint.required_permission = permission  # type: ignore[attr-defined]
        return endpoint

    return declare


async def check_permission(request: Request) -> None:
    """Raise PermissionDenied where the caller's key lacks the endpoint's permission. A dependency of the whole app."""
    permission = required_permission(request.scope["route"])
    if permission is not None:
        caller: Caller = request.state.caller
        caller.check(permission)


def required_permission(route: BaseRoute) -> Permission | None:
    """Return the permission that the route's endpoint declares, None where it declares none."""
    return getattr(getattr(route, "endpoint", None), "required_permission", None)


def undeclared(routes: Iterable[BaseRoute]) -> list[str]:
    """Return the paths that ask for a key but declare no permission."""
    return [
        route.path
        for route in routes
        if isinstance(route, APIRoute) and not is_open(route.path) and required_permission(route) is None
    ]
