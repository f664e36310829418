"""Names: what a room gives to those who handle the aliases and labels of its names, whichever noun they are of."""

from typing import Protocol

from llmos.core.versioning.aliases import Aliases
from llmos.core.versioning.labels import LabelStore


class Names(Protocol):
    """The registry of models, or the datasets of one project."""

    @property
    def aliases(self) -> Aliases: ...
    @property
    def labels(self) -> LabelStore: ...
