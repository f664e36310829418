"""Conversion of a Deployment and its events from their database rows, and of its settings to them."""

from typing import Any

from llmos.deployments.desired.deployment import Deployment, DeploymentEvent, DeploymentSettings
from llmos.deployments.tables import DeploymentEventRow, DeploymentRow


def ref_of(row: DeploymentRow) -> str:
    return f"{row.model}@{row.number}"


def is_deployed(row: DeploymentRow | None) -> bool:
    """Return False for a deployment that was removed: its row stays, because its history names it."""
    return row is not None and row.removed_at is None


def columns_of(settings: DeploymentSettings) -> dict[str, Any]:
    return {
        "min_replicas": settings.min_replicas,
        "max_replicas": settings.max_replicas,
        "runner": settings.runner,
        "options": dict(settings.options),
        "placement": settings.placement,
        "idle_seconds": settings.idle_seconds,
        "keep_warm": settings.keep_warm,
    }


def settings_of(row: DeploymentRow) -> DeploymentSettings:
    return DeploymentSettings(**{name: getattr(row, name) for name in _SETTINGS})


def update(row: DeploymentRow, columns: dict[str, Any]) -> dict[str, Any]:
    """Write the columns. Returns those that have changed."""
    changed = {name: value for name, value in columns.items() if getattr(row, name) != value}
    for name, value in columns.items():
        setattr(row, name, value)
    return changed


def deployment_of(row: DeploymentRow) -> Deployment:
    return Deployment(
        ref=ref_of(row),
        model=row.model,
        number=row.number,
        requested_ref=row.ref,
        forced=row.forced,
        asleep=row.asleep,
        created_at=row.created_at,
        updated_at=row.updated_at,
        **columns_of(settings_of(row)),
    )


def event_of(row: DeploymentEventRow) -> DeploymentEvent:
    return DeploymentEvent(at=row.at, kind=row.kind, actor=row.actor, reason=row.reason, data=row.data)


_SETTINGS = ("min_replicas", "max_replicas", "runner", "options", "placement", "idle_seconds", "keep_warm")
