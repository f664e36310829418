"""The port of what everything with versions has: aliases, tags and descriptions."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from llmos.core.schemas.aliases import AliasMoveDescription
from llmos.core.schemas.labels import LabelChangeDescription, LabelsDescription

if TYPE_CHECKING:
    pass


class NamesPort(Protocol):
    """The aliases, tags and descriptions of a noun with versions."""

    def aliases(self, name: str) -> Sequence[AliasMoveDescription]: ...
    def alias_history(self, name: str, alias: str | None = None) -> Sequence[AliasMoveDescription]: ...
    def set_alias(
        self, name: str, alias: str, version: str, *, expected: str | None = None
    ) -> AliasMoveDescription: ...
    def remove_alias(self, name: str, alias: str) -> None: ...
    def labels(self, name: str) -> LabelsDescription: ...
    def change_labels(
        self,
        name: str,
        *,
        tags: Mapping[str, str] | None = None,
        remove_tags: Sequence[str] = (),
        description: str | None = None,
    ) -> LabelsDescription: ...
    def label_history(self, name: str) -> Sequence[LabelChangeDescription]: ...
