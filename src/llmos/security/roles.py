"""Roles: named sets of permissions. What no role lists is denied.

    viewer ⊂ developer ⊂ operator ⊂ owner

Models, deployments, routes and providers belong to the installation, and all projects share them. Their changes are
therefore for keys of the installation's own project, `owner`; the keys of other projects never have these permissions.
"""

from collections.abc import Mapping

from llmos.core.errors import BadRequest
from llmos.core.suggest import nearest
from llmos.security.permissions import ALL_PERMISSIONS, OWNER, Permission

_VIEWER = frozenset(
    {
        Permission.MODELS_READ,
        Permission.DEPLOYMENTS_READ,
        Permission.ROUTES_READ,
        Permission.ROLLOUTS_READ,
        Permission.PROVIDERS_READ,
        Permission.POLICIES_READ,
        Permission.GUARDRAILS_READ,
        Permission.JOBS_READ,
        Permission.METRICS_READ,
        Permission.PROJECTS_READ,
        Permission.RECEIPTS_READ,
        Permission.ANSWERS_READ,
        Permission.USAGE_READ,
        Permission.PRICES_READ,
        Permission.BUDGETS_READ,
        Permission.PLANS_READ,
        Permission.CREDIT_READ,
        Permission.INVOICES_READ,
    }
)
_DEVELOPER = _VIEWER | {
    Permission.INFERENCE,
    Permission.FILES_READ,
    Permission.FILES_WRITE,
    Permission.BATCHES_READ,
    Permission.BATCHES_WRITE,
    Permission.DATASETS_READ,
    Permission.DATASETS_WRITE,
    Permission.APPS_READ,
    Permission.APPS_RUN,
    Permission.APPS_WRITE,
    Permission.CONVERSATIONS_USE,
    Permission.FEEDBACK_READ,
    Permission.FEEDBACK_GIVE,
    Permission.WEBHOOKS_READ,
    Permission.PROMPTS_READ,
    Permission.PROMPTS_WRITE,
    Permission.KNOWLEDGE_READ,
    Permission.KNOWLEDGE_WRITE,
    Permission.EVALS_READ,
    Permission.EVALS_WRITE,
    Permission.JOBS_WRITE,
}
_OPERATOR = _DEVELOPER | {
    Permission.MODELS_WRITE,
    Permission.DEPLOYMENTS_WRITE,
    Permission.ROUTES_WRITE,
    Permission.ROLLOUTS_WRITE,
    Permission.PROVIDERS_WRITE,
    Permission.POLICIES_WRITE,
    Permission.GUARDRAILS_WRITE,
    Permission.LOGS_READ,
    Permission.DOCTOR_READ,
    Permission.NODES_READ,
    Permission.EXPORTERS_READ,
}

ROLES: Mapping[str, frozenset[Permission]] = {
    "viewer": _VIEWER,
    "developer": _DEVELOPER,
    "operator": _OPERATOR,
    "owner": ALL_PERMISSIONS,
}
"""The permissions of each role in the project `owner`."""

DEFAULT_ROLE = "developer"

INSTALLATION_ONLY = (_OPERATOR - _DEVELOPER) | {
    Permission.PROVIDERS_READ,
    Permission.GUARDRAILS_READ,
    Permission.METRICS_READ,
    Permission.PROJECTS_WRITE,
    Permission.ENCRYPTION_READ,
    Permission.ENCRYPTION_WRITE,
    Permission.NODES_WRITE,
    Permission.USERS_READ,
    Permission.USERS_WRITE,
    Permission.AUDIT_WRITE,
    Permission.PRICES_WRITE,
    Permission.PLANS_WRITE,
    Permission.CREDIT_WRITE,
    Permission.INVOICES_WRITE,
    Permission.EXPORTERS_WRITE,
    Permission.LEDGER_WRITE,
}
"""Permissions over what all projects share, and over what is counted for all of them together."""


def permissions_of(role: str, project: str) -> frozenset[Permission]:
    """Return what a key with this role may do in this project. Nothing for a role that there is not."""
    permissions = ROLES.get(role, frozenset())
    return permissions if project == OWNER else permissions - INSTALLATION_ONLY


def roles_with(permission: Permission, project: str) -> list[str]:
    """Return the roles that have the permission in this project, the least powerful first."""
    return [role for role in ROLES if permission in permissions_of(role, project)]


def check_role(role: str, project: str) -> str:
    """Return the role. Raises BadRequest for one that a key of this project can't have."""
    if role not in ROLES:
        near = nearest(role, list(ROLES), 1)
        hint = f"Did you mean {near[0]}?" if near else f"The roles are {', '.join(ROLES)}."
        raise BadRequest(f"There is no role {role[:80]!r}. {hint}", param="role")
    if role == "operator" and project != OWNER:
        raise BadRequest(
            f"A key of the project {project} can't be an operator: operators change models, deployments and routes,"
            " which all projects share. Create the key in the project `owner`, or choose another role.",
            param="role",
        )
    return role
