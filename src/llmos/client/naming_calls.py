"""The calls about aliases and labels, which every noun with versions has below its own path: `root`."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from llmos.client.call import Call, read_each, read_nothing, read_one
from llmos.core.schemas.aliases import AliasMoveDescription
from llmos.core.schemas.labels import LabelChangeDescription, LabelsDescription

MODELS = "/llmos/v1/models"


def name_path(root: str, name: str) -> str:
    """Return the path of a name, or of a Version by its reference."""
    return f"{root}/{quote(name, safe='@:')}"


def list_aliases(root: str, name: str) -> Call[list[AliasMoveDescription]]:
    return Call(method="GET", path=f"{name_path(root, name)}/aliases", read=read_each(AliasMoveDescription))


def alias_history(root: str, name: str, alias: str | None) -> Call[list[AliasMoveDescription]]:
    path = f"{name_path(root, name)}/aliases" if alias is None else _alias_path(root, name, alias)
    return Call(method="GET", path=f"{path}/history", read=read_each(AliasMoveDescription))


def set_alias(root: str, name: str, alias: str, version: str, expected: str | None) -> Call[AliasMoveDescription]:
    body = {"version": version} | ({} if expected is None else {"expected": expected})
    return Call(method="PUT", path=_alias_path(root, name, alias), body=body, read=read_one(AliasMoveDescription))


def remove_alias(root: str, name: str, alias: str) -> Call[None]:
    return Call(method="DELETE", path=_alias_path(root, name, alias), read=read_nothing)


def get_labels(root: str, name: str) -> Call[LabelsDescription]:
    return Call(method="GET", path=f"{name_path(root, name)}/labels", read=read_one(LabelsDescription))


def change_labels(
    root: str, name: str, tags: Mapping[str, str] | None, remove_tags: Sequence[str], description: str | None
) -> Call[LabelsDescription]:
    """`description`: None keeps it, an empty one removes it."""
    body: dict[str, Any] = {"tags": dict(tags or {}), "remove_tags": list(remove_tags)}
    body |= {} if description is None else {"description": description}
    return Call(method="PATCH", path=f"{name_path(root, name)}/labels", body=body, read=read_one(LabelsDescription))


def label_history(root: str, name: str) -> Call[list[LabelChangeDescription]]:
    return Call(method="GET", path=f"{name_path(root, name)}/labels/history", read=read_each(LabelChangeDescription))


def _alias_path(root: str, name: str, alias: str) -> str:
    return f"{name_path(root, name)}/aliases/{quote(alias, safe='')}"
