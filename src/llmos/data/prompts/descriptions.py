"""Descriptions of prompts, as the API and the CLI return them."""

from collections.abc import Mapping
from typing import Any

from llmos.core.schemas.prompts import PromptDescription, PromptDetails
from llmos.core.versioning.labels import Labels
from llmos.data.prompts.prompts import Details
from llmos.data.prompts.versions import PromptVersion


def describe_version(version: PromptVersion, labels: Mapping[tuple[str, int], Labels]) -> PromptDescription:
    """Describe a version. `labels`: those of ProjectPrompts.labels_of()."""
    key = f"{version.project}/{version.prompt}"
    own, name = labels.get((key, version.number), Labels()), labels.get((key, 0), Labels())
    return PromptDescription(**_fields(version, own, name))


def describe_details(details: Details) -> PromptDetails:
    return PromptDetails(
        **_fields(details.version, details.labels, details.prompt_labels),
        text=details.text.text,
        types=dict(details.text.variables),
        versions=list(details.versions),
        aliases=list(details.aliases),
    )


def _fields(version: PromptVersion, own: Labels, name: Labels) -> dict[str, Any]:
    """Return the fields that both descriptions have. `name`: the labels of the prompt itself."""
    return {
        "name": version.prompt,
        "version": version.ref,
        "digest": version.digest,
        "variables": list(version.variables),
        "num_characters": version.num_characters,
        "source": version.source,
        "made_by": version.made_by,
        "description": own.description,
        "tags": dict(own.tags),
        "prompt_description": name.description,
        "prompt_tags": dict(name.tags),
        "created_at": version.created_at,
    }
