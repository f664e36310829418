"""/llmos/v1/apps/NAME/aliases and /labels."""

from llmos.gateway.control.apps import apps_of
from llmos.gateway.control.named_noun import NamedNoun
from llmos.gateway.control.versioned_names import names_router
from llmos.security.permissions import Permission

router = names_router(
    NamedNoun(
        one="an application",
        path="/llmos/v1/apps",
        prefix="app_",
        tags=("apps", "apps"),
        version="support@1",
        read=Permission.APPS_READ,
        write=Permission.APPS_DEPLOY,
        names_of=apps_of,
    )
)
