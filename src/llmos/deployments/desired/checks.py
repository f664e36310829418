"""DeploymentChecks: what may forbid a deployment of a version. Its card's limits, and this machine's memory."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmos.core.errors import Conflict
from llmos.models.versions.versions import Version


def accept_card(version: Version) -> Sequence[str]:
    return ()


def accept_memory(version: Version, options: Mapping[str, Any], num_replicas: int) -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentChecks:
    """The checks of an installation. The defaults accept everything."""

    card: Callable[[Version], Sequence[str]] = accept_card
    """Returns why the version should not be deployed, in sentences. Empty: it may be."""
    memory: Callable[[Version, Mapping[str, Any], int], None] = accept_memory
    """Raises InsufficientMemory, with the arithmetic, if so many more replicas with these engine options don't fit."""

    def failures(self, version: Version, force: bool) -> Sequence[str]:
        """Return the checks that the version fails. Raises Conflict with them unless `force`."""
        failures = self.card(version)
        if failures and not force:
            raise Conflict(
                f"{version.ref} is not deployed: {' '.join(failures)}"
                f" To deploy it anyway: llmos deploy {version.ref} --force"
            )
        return failures
