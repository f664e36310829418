"""Aliases, tags and descriptions of a noun in this machine's database."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from llmos.core.schemas.aliases import AliasMoveDescription
from llmos.core.schemas.labels import LabelChangeDescription, LabelsDescription
from llmos.core.versioning.descriptions import describe_alias_move, describe_label_change, describe_labels
from llmos.core.who import this_user

if TYPE_CHECKING:
    from llmos.core.versioning.names import Names


class LocalNames(ABC):
    @property
    @abstractmethod
    def names(self) -> "Names":
        """Return the names of the noun."""

    def aliases(self, name: str) -> Sequence[AliasMoveDescription]:
        return [describe_alias_move(name, move) for move in self.names.aliases.list(name).values()]

    def alias_history(self, name: str, alias: str | None = None) -> Sequence[AliasMoveDescription]:
        return [describe_alias_move(name, move) for move in self.names.aliases.history(name, alias)]

    def set_alias(self, name: str, alias: str, version: str, *, expected: str | None = None) -> AliasMoveDescription:
        move = self.names.aliases.set(name, alias, version, expected=expected, actor=this_user())
        return describe_alias_move(name, move)

    def remove_alias(self, name: str, alias: str) -> None:
        self.names.aliases.set(name, alias, None, actor=this_user())

    def labels(self, name: str) -> LabelsDescription:
        return describe_labels(self.names.labels.get(name))

    def change_labels(
        self,
        name: str,
        *,
        tags: Mapping[str, str] | None = None,
        remove_tags: Sequence[str] = (),
        description: str | None = None,
    ) -> LabelsDescription:
        labels = self.names.labels
        return describe_labels(labels.change(name, tags or {}, remove_tags, description, actor=this_user()))

    def label_history(self, name: str) -> Sequence[LabelChangeDescription]:
        return [describe_label_change(change) for change in self.names.labels.history(name)]
