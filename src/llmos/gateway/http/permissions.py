"""Permissions of endpoints: declared beside each endpoint, checked here before it runs."""

from collections.abc import Awaitable, Callable, Iterable
from functools import wraps
from typing import Any, TypeVar, cast

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from llmos.gateway.http.open_paths import is_open
from llmos.security.callers import Caller
from llmos.security.permissions import Permission

Endpoint = TypeVar("Endpoint", bound=Callable[..., Awaitable[Any]])


def requires(permission: Permission) -> Callable[[Endpoint], Endpoint]:
    """Declare the permission that an endpoint needs. The endpoint runs only for callers who have it.

    @router.delete("/{name}")
    @requires(Permission.MODELS_WRITE)
    async def remove_model(request: Request, name: str) -> Response: ...
    """

    def declare(endpoint: Endpoint) -> Endpoint:
        @wraps(endpoint)
        async def checked(request: Request, *args: Any, **kwargs: Any) -> Any:
            caller: Caller = request.state.caller
            caller.check(permission)
            return await endpoint(request, *args, **kwargs)

        checked.required_permission = permission  # type: ignore[attr-defined]
        return cast(Endpoint, checked)

    return declare


def required_permission(route: BaseRoute) -> Permission | None:
    """Return the permission that the route's endpoint declares, None where it declares none."""
    return getattr(getattr(route, "endpoint", None), "required_permission", None)


def undeclared(routes: Iterable[BaseRoute]) -> list[str]:
    """Return the paths that need a key but declare no permission."""
    return [
        route.path
        for route in routes
        if isinstance(route, APIRoute) and not is_open(route.path) and required_permission(route) is None
    ]
