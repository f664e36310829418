"""Descriptions of applications, as the API and the CLI return them."""

from collections.abc import Mapping
from typing import Any

from llmos.core.schemas.apps import AppDescription, AppFileDescription, AppVersionDescription
from llmos.core.versioning.labels import Labels
from llmos.data.app_versions.app_versions import Details
from llmos.data.app_versions.versions import AppVersion


def describe_version(version: AppVersion, labels: Mapping[tuple[str, int], Labels]) -> AppDescription:
    """Describe a version. `labels`: those of ProjectApps.labels_of()."""
    key = f"{version.project}/{version.app}"
    own, name = labels.get((key, version.number), Labels()), labels.get((key, 0), Labels())
    return AppDescription(**_fields(version, own, name))


def describe_details(details: Details) -> AppVersionDescription:
    files = [
        AppFileDescription(name=file.name, digest=file.digest, size_bytes=file.size) for file in details.version.files
    ]
    return AppVersionDescription(
        **_fields(details.version, details.labels, details.app_labels),
        manifest=dict(details.manifest),
        files=files,
        versions=list(details.versions),
        aliases=list(details.aliases),
    )


def _fields(version: AppVersion, own: Labels, name: Labels) -> dict[str, Any]:
    """Return the fields that both descriptions have. `name`: the labels of the application itself."""
    return {
        "name": version.app,
        "version": version.ref,
        "digest": version.digest,
        "num_files": len(version.files),
        "size_bytes": version.size,
        "model": version.model,
        "permissions": list(version.permissions),
        "prompts": list(version.prompts),
        "made_by": version.made_by,
        "description": own.description,
        "tags": dict(own.tags),
        "app_description": name.description,
        "app_tags": dict(name.tags),
        "created_at": version.created_at,
    }
