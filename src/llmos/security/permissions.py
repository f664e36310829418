"""Permissions: what a key may be allowed to do. Every endpoint needs one; gateway/http/permissions.py checks it.

roles.py puts them together.
"""

from enum import StrEnum

OWNER = "owner"
"""The id of the owner's key, and of the installation's own project, which it belongs to."""


class Permission(StrEnum):
    """One kind of access, written NOUN:VERB. `inference` covers everything that applications need to run models."""

    INFERENCE = "inference"
    """Run models, count tokens, and list the names that can be asked for."""
    FILES_READ = "files:read"
    FILES_WRITE = "files:write"
    BATCHES_READ = "batches:read"
    BATCHES_WRITE = "batches:write"
    MODELS_READ = "models:read"
    """List, describe and download versions, with their aliases, labels, cards and signatures."""
    MODELS_WRITE = "models:write"
    """Pull, push, make, label and remove versions."""
    DEPLOYMENTS_READ = "deployments:read"
    DEPLOYMENTS_WRITE = "deployments:write"
    """Deploy, scale, load and unload."""
    ROUTES_READ = "routes:read"
    ROUTES_WRITE = "routes:write"
    ROLLOUTS_READ = "rollouts:read"
    ROLLOUTS_WRITE = "rollouts:write"
    PROVIDERS_READ = "providers:read"
    PROVIDERS_WRITE = "providers:write"
    POLICIES_READ = "policies:read"
    POLICIES_WRITE = "policies:write"
    GUARDRAILS_READ = "guardrails:read"
    """See guardrail policies, with the phrases and tokens that they look for."""
    GUARDRAILS_WRITE = "guardrails:write"
    """Set, apply and remove guardrail policies."""
    ERASURES_WRITE = "erasures:write"
    """Erase the data of a person in the key's own project; for keys of the project `owner`, in every project."""
    ENCRYPTION_READ = "encryption:read"
    """See where the keys are, and how much is encrypted."""
    ENCRYPTION_WRITE = "encryption:write"
    """Rotate the master key and the keys of projects."""
    JOBS_READ = "jobs:read"
    JOBS_WRITE = "jobs:write"
    METRICS_READ = "metrics:read"
    PROJECTS_READ = "projects:read"
    """Describe the key's own project; for keys of the project `owner`, every project."""
    PROJECTS_WRITE = "projects:write"
    """Create, limit and remove projects."""
    KEYS_READ = "keys:read"
    """List the keys of the key's own project; for keys of the project `owner`, of every project."""
    KEYS_WRITE = "keys:write"
    """Create, limit, rotate and revoke those keys."""
    USERS_READ = "users:read"
    """List the users of all projects."""
    USERS_WRITE = "users:write"
    """Create, change and remove users, and sign them out."""
    RECEIPTS_READ = "receipts:read"
    """Read the receipts of the key's own project, and the public key that verifies them."""
    AUDIT_READ = "audit:read"
    """Read the audit log, as far as it is about the key's own project; for keys of the project `owner`, all of it."""
    AUDIT_WRITE = "audit:write"
    """Verify the whole audit log, and sign checkpoints of it."""


ALL_PERMISSIONS = frozenset(Permission)
