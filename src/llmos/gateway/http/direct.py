"""DirectEndpoints: the shortest way to the endpoints that calls of models use, past the routing of FastAPI.

An endpoint with a fixed path that takes the request and nothing else is found in a dictionary, and called. All others
go on to FastAPI, which tries their patterns one after another and reads their parameters.
"""

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, get_type_hints

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from llmos.core.errors import LLMOSError
from llmos.core.extras import missing_extra
from llmos.gateway.http import errors

Place = tuple[str, str]
"""Method and path."""


class DirectEndpoints:
    """Sits between the door and FastAPI."""

    def __init__(self, app: ASGIApp, *, routes: Mapping[Place, APIRoute]) -> None:
        """`routes`: see direct_routes()."""
        self._app, self._routes = app, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._routes.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if route is None:
            await self._app(scope, receive, send)
            return
        scope["route"], scope["endpoint"], scope["path_params"] = route, route.endpoint, {}
        endpoint: Callable[[Request], Awaitable[Response]] = route.endpoint
        try:
            response = await endpoint(Request(scope, receive, send))
            await response(scope, receive, send)
        except LLMOSError as error:
            await errors.respond(error, scope)(scope, receive, send)
        except ModuleNotFoundError as error:
            if (refusal := missing_extra(error)) is None:
                raise
            await errors.respond(refusal, scope)(scope, receive, send)


def direct_routes(routes: Iterable[BaseRoute]) -> dict[Place, APIRoute]:
    """Return the routes that need nothing of FastAPI. Where two have one place, the first answers, direct or not."""
    first: dict[Place, APIRoute] = {}
    for route in routes:
        if isinstance(route, APIRoute):
            for method in route.methods or ():
                first.setdefault((method, route.path), route)
    return {place: route for place, route in first.items() if _is_direct(route)}


def _is_direct(route: APIRoute) -> bool:
    """Return whether FastAPI does nothing for the endpoint but call it with the request, and send its response."""
    if "{" in route.path or route.dependencies or not inspect.iscoroutinefunction(route.endpoint):
        return False
    hints: dict[str, Any] = get_type_hints(inspect.unwrap(route.endpoint))
    returned = hints.pop("return", None)
    takes_request = [*hints.values()] == [Request]
    return takes_request and isinstance(returned, type) and issubclass(returned, Response)
