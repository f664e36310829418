"""Descriptions of aliases and labels, as the API and the CLI return them."""

from llmos.core.schemas.aliases import AliasMoveDescription
from llmos.core.schemas.labels import LabelChangeDescription, LabelsDescription
from llmos.core.versioning.aliases import AliasMove
from llmos.core.versioning.labels import LabelChange, Labels


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
