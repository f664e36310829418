"""/llmos/v1/models/NAME/aliases and /labels."""

from fastapi import Request

from llmos.deployments.removing import remove
from llmos.gateway.control.named_noun import NamedNoun
from llmos.gateway.control.versioned_names import names_router
from llmos.gateway.http.replies import caller_of
from llmos.gateway.services import services_of
from llmos.models.registry import Registry
from llmos.security.permissions import Permission


def _registry_of(request: Request) -> Registry:
    return services_of(request).registry


def _remove_alias(request: Request, name: str, alias: str) -> None:
    """Raises Conflict if a deployment or a Route needs it."""
    remove(_registry_of(request), f"{name}:{alias}", actor=caller_of(request).actor)


router = names_router(
    NamedNoun(
        one="a model",
        path="/llmos/v1/models",
        prefix="",
        tags=("aliases", "labels"),
        version="smollm2@1",
        read=Permission.MODELS_READ,
        write=Permission.MODELS_WRITE,
        names_of=_registry_of,
        remove_alias=_remove_alias,
    )
)
