"""The ASGI application: authentication, the endpoints of control/ and wires/, and error handling."""

import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import ModuleType

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.types import ASGIApp

from llmos import __version__
from llmos.gateway import control, wires
from llmos.gateway.http import errors, openapi
from llmos.gateway.http.cors import Cors
from llmos.gateway.http.direct import DirectEndpoints, direct_routes
from llmos.gateway.http.door import Door
from llmos.gateway.http.paths import PathMethods
from llmos.gateway.http.permissions import undeclared, unrecorded
from llmos.gateway.services import Services
from llmos.security.authenticator import Authenticator

DESCRIPTION = """OpenAI's API under /v1, LLMOS's own under /llmos/v1.
Every path but /health and /v2/health asks for the header `Authorization: Bearer KEY`."""


@dataclass(frozen=True, slots=True)
class Mount:
    """An application of its own below a path, such as a console. It is behind the same authentication."""

    path: str
    app: ASGIApp
    name: str
    asks_visitors: bool = False
    """It decides itself what somebody sees who shows neither key nor session. What it then asks of this server is
    asked with what the visitor shows."""


def create_app(services: Services, mounts: Sequence[Mount] = ()) -> FastAPI:
    """Return the application. It doesn't own `services`: who opens them closes them."""
    endpoints = _endpoints(tuple(endpoint_modules()))
    # /openapi.json is one of the endpoints. Traces and metrics are ours, and FastAPI's cost each request.
    app = FastAPI(openapi_url=None, telemetry={"tracing": False, "metrics": False, "logs": False})
    app.openapi = endpoints.openapi  # type: ignore[method-assign]
    # Not endpoints.routes: FastAPI goes through the routes of an included router twice for each request.
    app.router.routes.extend(endpoints.state.flat_routes)
    app.state.services = services
    app.state.audit = services.audit.recorder
    app.state.error_formats = endpoints.state.error_formats
    for mount in mounts:
        app.mount(mount.path, mount.app, mount.name)
    errors.install(app)
    app.state.cors = Cors(services.settings.allow_origins)
    app.add_middleware(DirectEndpoints, routes=endpoints.state.direct_routes)
    app.add_middleware(
        Door,
        authenticator=Authenticator(services.owner_key, services.keys),
        audit=services.audit.recorder,
        sessions=services.sessions,
        settings=services.settings,
        readiness=services.readiness,
        metrics=services.metrics,
        methods=endpoints.state.path_methods,
        cors=app.state.cors,
        log=services.request_log,
        mounted=[mount.path for mount in mounts],
        open_mounts=[mount.path for mount in mounts if mount.asks_visitors],
    )
    return app


@cache
def _endpoints(modules: tuple[ModuleType, ...]) -> FastAPI:
    """Return an application with the endpoints alone. All others share its routes, which take long to make."""
    routers = [module.router for module in modules if hasattr(module, "router")]
    if missing := undeclared(route for router in routers for route in router.routes):
        raise RuntimeError(f"These endpoints declare no permission: {', '.join(missing)}. See http/permissions.py.")
    if missing := unrecorded(route for router in routers for route in router.routes):
        raise RuntimeError(f"These endpoints declare no action: {', '.join(missing)}. See http/permissions.py.")
    # The interactive docs load scripts from elsewhere and could not send the key: /openapi.json is the document.
    app = FastAPI(
        title="LLMOS",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    routers.sort(key=_rank)
    app.state.flat_routes = [*app.routes, *(route for router in routers for route in router.routes)]
    for router in routers:
        app.include_router(router)
    app.state.error_formats = [module.error_format for module in modules if hasattr(module, "error_format")]
    app.state.direct_routes = direct_routes(app.state.flat_routes)
    app.state.path_methods = PathMethods(app.state.flat_routes)
    openapi.install(app)
    return app


@cache
def endpoint_modules() -> Sequence[ModuleType]:
    """Return every module of the control plane and of the wire formats. A new file there needs no entry elsewhere."""
    return [
        import_module(module.name)
        for package in (control, wires)
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    ]


def _rank(router: APIRouter) -> int:
    """Order routers, because the first path that matches wins, and paths are tried one after another.

    Fixed paths come first: calls to models use them, and find them soonest. Paths whose last parameter takes slashes
    come last, since they would hide longer paths below them.
    """
    paths = [route.path for route in router.routes if isinstance(route, APIRoute)]
    if any(path.endswith(":path}") for path in paths):
        return 2
    return 1 if any("{" in path for path in paths) else 0
