"""Permissions of endpoints, and what they change: declared beside each endpoint, checked and recorded here.

Every change that a request makes passes here, so the audit log misses none.
"""

from collections.abc import Awaitable, Callable, Iterable
from functools import wraps
from typing import Any, TypeVar, cast

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from llmos.core.actions import Action
from llmos.gateway.http.open_paths import is_open
from llmos.security.audit.recorder import AuditRecorder
from llmos.security.callers import Caller
from llmos.security.permissions import Permission

Endpoint = TypeVar("Endpoint", bound=Callable[..., Awaitable[Any]])


def requires(permission: Permission, action: str | None = None) -> Callable[[Endpoint], Endpoint]:
    """Declare the permission that an endpoint needs. The endpoint runs only for callers who have it.

    `action`: what it changes, NOUN.VERB, for the audit log, which also names the object: the parameters of the path,
    or what the room says (core/actions.py). None: it changes nothing that the log is about.

    @router.delete("/{name}")
    @requires(Permission.MODELS_WRITE, "model.remove")
    async def remove_model(request: Request, name: str) -> Response: ...
    """

    def declare(endpoint: Endpoint) -> Endpoint:
        @wraps(endpoint)
        async def checked(request: Request, *args: Any, **kwargs: Any) -> Any:
            caller: Caller = request.state.caller
            request.state.permission = permission
            if action is None:
                caller.check(permission)
                return await endpoint(request, *args, **kwargs)
            request.state.is_audited = True
            recorder: AuditRecorder = request.app.state.audit
            with recorder.acting(_action(action, request, caller)):
                caller.check(permission)
                return await endpoint(request, *args, **kwargs)

        checked.required_permission = permission  # type: ignore[attr-defined]
        checked.action = action  # type: ignore[attr-defined]
        return cast(Endpoint, checked)

    return declare


def _action(name: str, request: Request, caller: Caller) -> Action:
    return Action(
        name,
        project=caller.project,
        key=caller.key_id,
        object=":".join(map(str, request.path_params.values())),
        address=getattr(request.state, "address", ""),
        request_id=caller.request_id,
    )


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


def unrecorded(routes: Iterable[BaseRoute]) -> list[str]:
    """Return the endpoints that change something and declare no action: those with another method than GET that need a
    permission to write."""
    return [
        f"{' '.join(sorted(route.methods or ()))} {route.path}"
        for route in routes
        if isinstance(route, APIRoute)
        and str(required_permission(route)).endswith(":write")
        and (route.methods or set()) - {"GET", "HEAD"}
        and declared_action(route) is None
    ]


def declared_action(route: BaseRoute) -> str | None:
    """Return the action that the route's endpoint declares, None where it declares none."""
    return getattr(getattr(route, "endpoint", None), "action", None)
