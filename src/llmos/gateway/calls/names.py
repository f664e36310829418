"""The names that calls may ask for."""

from llmos.core.errors import LLMOSError
from llmos.deployments.routing.routes import Routes
from llmos.deployments.served_model import ServedModel
from llmos.models.registry import Registry


def served_models(routes: Routes, registry: Registry) -> dict[str, ServedModel]:
    """Return the model behind every route, and then every model by its own name. Reads the database."""
    models: dict[str, ServedModel] = {}
    for name in [route.name for route in routes.list()] + [version.model for version in registry.list()]:
        try:
            models[name] = routes.resolve_primary(name)
        except LLMOSError:
            continue  # The route's model was removed; a call of the route reports that.
    return models
