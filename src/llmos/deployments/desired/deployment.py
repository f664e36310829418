"""Deployment: what is wanted of one version, and which settings are possible. Knows no database and no process."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Self

from llmos.core.errors import BadRequest
from llmos.deployments.placing.split_placement import is_split, parse_split
from llmos.engine.config import EngineConfig

MAX_REPLICAS = 64

_PLACEMENT = re.compile(r"[a-z0-9][a-z0-9-]{0,47}|[A-Za-z0-9._/-]{1,63}=[A-Za-z0-9._/-]{0,63}")

MAX_PLACEMENT_CHARS = 200

MAX_IDLE_SECONDS = 30 * 24 * 3600

DEFAULT_IDLE_SECONDS = 300
"""The time without a request after which a deployment with min_replicas 0 sleeps, unless it sets idle_seconds."""

RUNNERS = ("native",)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentSettings:
    """The settings of a deployment, as its owner chooses them."""

    min_replicas: int = 1
    max_replicas: int = 1
    idle_seconds: int | None = None
    """It goes to sleep after this long without a request. None: never by itself."""
    keep_warm: bool = False
    """It never goes to sleep."""
    runner: str = "native"
    options: Mapping[str, Any] = field(default_factory=dict)
    """EngineConfig options of its replicas that differ from the server's."""
    placement: str | None = None
    """The machines that its replicas run on: None for the server's machine, `nodes` for any node, `ray` for those that
    Ray chooses, the name of a node, LABEL=VALUE, or the nodes that its layers are split over: `split`, or
    a:0-9,b:10-19, with a ! behind it also where one node has room for the model."""

    def checked(self) -> Self:
        """Return the settings with the default idle_seconds filled in. Raises BadRequest for impossible ones."""
        checked = self.with_limits(self.min_replicas, self.max_replicas)
        if self.runner not in RUNNERS:
            raise BadRequest(f"There is no runner {self.runner!r}. Known: {', '.join(RUNNERS)}.", param="runner")
        EngineConfig.from_options(self.options)
        if self.placement is not None:
            _check_placement(self.placement)
        return checked

    def with_limits(self, min_replicas: int, max_replicas: int) -> Self:
        """Return the settings with these numbers of replicas. Raises BadRequest for impossible ones."""
        _check_replicas(min_replicas, max_replicas)
        scaled = replace(self, min_replicas=min_replicas, max_replicas=max_replicas)
        scaled._check_idle()
        if min_replicas == 0 and self.idle_seconds is None:
            return replace(scaled, idle_seconds=DEFAULT_IDLE_SECONDS)
        return scaled

    def _check_idle(self) -> None:
        if self.idle_seconds is not None and not 1 <= self.idle_seconds <= MAX_IDLE_SECONDS:
            raise BadRequest(
                f"idle_seconds is {self.idle_seconds}; it must be from 1 to {MAX_IDLE_SECONDS:,}.", param="idle_seconds"
            )
        if self.keep_warm and (self.min_replicas == 0 or self.idle_seconds is not None):
            other = "min_replicas 0" if self.min_replicas == 0 else f"idle_seconds {self.idle_seconds}"
            raise BadRequest(
                f"keep_warm and {other} contradict each other: leave one of them out.",
                param="keep_warm",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment(DeploymentSettings):
    """A version that is deployed. There is at most one deployment of each version."""

    ref: str
    """The reference of its version."""
    model: str
    number: int
    requested_ref: str
    """The reference that it was deployed by, which may be an alias of the version."""
    forced: bool
    """It was deployed although a check failed. Its history has the reasons."""
    asleep: bool
    """It runs no replica until the next request."""
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentEvent:
    at: datetime
    kind: str
    """deployed, changed, slept, woken, scaled, ready, pending, died, failed, removed."""
    actor: str | None
    """The user, the key or the part of the server that caused it. None in events from before it was recorded."""
    reason: str
    data: Mapping[str, Any] = field(default_factory=dict)


def replica_limits(
    replicas: int | None, least: int | None, most: int | None, before: tuple[int, int] | None = None
) -> tuple[int, int]:
    """Return the smallest and the largest number of replicas, given one exact number or either limit.

    `before`: the limits that hold where nothing is given. Raises BadRequest for an exact number beside a limit.
    """
    if replicas is not None and (least is not None or most is not None):
        raise BadRequest("Give either the number of replicas or its limits, not both.", param="replicas")
    if replicas is not None:
        return replicas, max(1, replicas)
    if before is not None:
        return before[0] if least is None else least, before[1] if most is None else most
    least = 1 if least is None else least
    return least, max(1, least) if most is None else most


def _check_replicas(min_replicas: int, max_replicas: int) -> None:
    if not 0 <= min_replicas <= MAX_REPLICAS:
        raise BadRequest(f"min_replicas is {min_replicas}; it must be from 0 to {MAX_REPLICAS}.", param="min_replicas")
    if not 1 <= max_replicas <= MAX_REPLICAS:
        raise BadRequest(
            f"max_replicas is {max_replicas}; it must be from 1 to {MAX_REPLICAS}."
            " To run no replica until the next request: llmos sleep NAME",
            param="max_replicas",
        )
    if min_replicas > max_replicas:
        raise BadRequest(
            f"min_replicas {min_replicas} is more than max_replicas {max_replicas}: lower the first or raise the"
            " second.",
            param="min_replicas",
        )


def _check_placement(placement: str) -> None:
    if len(placement) <= MAX_PLACEMENT_CHARS and is_split(placement):
        parse_split(placement)
    elif not _PLACEMENT.fullmatch(placement):
        raise BadRequest(
            f"{placement[:80]!r} is no placement: write `nodes`, `ray`, the name of a node, LABEL=VALUE, `split`, or"
            " the layers of each node as in ada:0-9,bob:10-19.",
            param="placement",
        )
