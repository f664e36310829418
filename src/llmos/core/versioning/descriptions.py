"""Descriptions of aliases, labels and removals, as the API and the CLI return them."""

from llmos.core.schemas.aliases import AliasMoveDescription
from llmos.core.schemas.labels import LabelChangeDescription, LabelsDescription
from llmos.core.schemas.models import RemovalDescription
from llmos.core.versioning.aliases import AliasMove
from llmos.core.versioning.labels import LabelChange, Labels
from llmos.core.versioning.removing import Removed


def describe_alias_move(name: str, move: AliasMove) -> AliasMoveDescription:
    """Describe a move of an alias of `name`."""
    return AliasMoveDescription(
        name=f"{name}:{move.alias}",
        model=name,
        alias=move.alias,
        was=move.was,
        now=move.now,
        at=move.at,
        by=move.actor,
    )


def describe_labels(labels: Labels) -> LabelsDescription:
    return LabelsDescription(description=labels.description, tags=dict(labels.tags))


def describe_label_change(change: LabelChange) -> LabelChangeDescription:
    return LabelChangeDescription(
        subject=change.subject, what=change.what, was=change.was, now=change.now, at=change.at, by=change.actor
    )


def describe_removal(removed: Removed) -> RemovalDescription:
    return RemovalDescription(
        versions=list(removed.versions), aliases=list(removed.aliases), freed_bytes=removed.freed_bytes
    )
