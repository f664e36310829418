"""The names that calls may ask for."""

from llmos.core.errors import LLMOSError
from llmos.deployments.routing.routes import Routes
from llmos.deployments.served_model import ServedModel
from llmos.models.registry import Registry
from llmos.security.callers import Caller


def served_models(routes: Routes, registry: Registry, caller: Caller) -> dict[str, ServedModel]:
    """Return the model behind every route, and then every model by its own name; those that the caller may ask for.

    Reads the database.
    """
    models: dict[str, ServedModel] = {}
    for name in [route.name for route in routes.list()] + [version.model for version in registry.list()]:
        if not caller.may_ask_for(name):
            continue
        try:
            models[name] = routes.resolve_primary(name)
        except LLMOSError:
            continue  # The route's model was removed; a call of the route reports that.
    return models
