"""The HTTP server's app: the door, the routes that lie in routes/, and the shapes of errors."""

import pkgutil
from importlib import import_module

from fastapi import FastAPI

from llmos import __version__
from llmos.gateway import errors, openapi, routes
from llmos.gateway.door import Door
from llmos.gateway.services import Services

DESCRIPTION = """OpenAI's API under /v1, LLMOS's own under /llmos/v1.
Every path but /health and /v2/health asks for the header `Authorization: Bearer KEY`."""


def create_app(services: Services) -> FastAPI:
    """Return the app. It holds nothing but `services`: who opens those closes them."""
    # The interactive docs load scripts from elsewhere and could not send the key: /openapi.json is the document.
    app = FastAPI(
        title="LLMOS",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.services = services
    modules = [import_module(f"{routes.__name__}.{module.name}") for module in pkgutil.iter_modules(routes.__path__)]
    app.state.dialects = [module.dialect for module in modules if hasattr(module, "dialect")]
    for module in modules:
        app.include_router(module.router)
    openapi.install(app)
    errors.install(app)
    app.add_middleware(Door, services=services)
    return app
