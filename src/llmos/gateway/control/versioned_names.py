"""The endpoints that every noun with versions has below its own path: those of aliases, tags and descriptions.

router = names_router(NamedNoun(one="a dataset", path="/llmos/v1/datasets", …))
"""

from fastapi import APIRouter

from llmos.gateway.control.named_noun import NamedNoun
from llmos.gateway.control.versioned_aliases import add_alias_endpoints
from llmos.gateway.control.versioned_labels import add_label_endpoints


def names_router(noun: NamedNoun) -> APIRouter:
    """Return the endpoints of the aliases and the labels of a noun."""
    router = APIRouter(prefix=f"{noun.path}/{{name}}")
    add_alias_endpoints(router, noun)
    add_label_endpoints(router, noun)
    return router
