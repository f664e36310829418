"""The check whether a caller may let a server run the programs of applications."""

from llmos.core.errors import PermissionDenied
from llmos.core.schemas.app_manifests import AppManifest
from llmos.gateway.hosted_apps.supervisor import permissions_of
from llmos.security.callers import Caller
from llmos.security.permissions import Permission


def check_may_deploy(caller: Caller, *, is_open_to_projects: bool) -> None:
    """Raise PermissionDenied for a project that may run no programs on this server."""
    if not (caller.is_of_installation or is_open_to_projects):
        raise PermissionDenied(
            f"An application is a program on the server, and the project {caller.project} may run none. The server's"
            " operator can allow it for all projects with LLMOS_PROJECT_APPS=on."
        )


def check_may_run(caller: Caller, manifest: AppManifest, *, is_open_to_projects: bool) -> None:
    """Raise PermissionDenied for who may not deploy an application: its key may do nothing that the caller may not."""
    caller.check(Permission.APPS_DEPLOY)
    check_may_deploy(caller, is_open_to_projects=is_open_to_projects)
    for permission in permissions_of(manifest):
        caller.check(permission)
