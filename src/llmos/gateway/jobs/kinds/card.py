"""The job `card`: measure a Version's quality, memory and speed against the Version that it was made from."""

import shlex
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from llmos.core.config import Settings
from llmos.gateway.http.requests import RequestObject
from llmos.gateway.jobs.kinds import Context, JobKind
from llmos.models.cards.limits import verdicts
from llmos.models.descriptions import describe_card
from llmos.models.policies import Policies
from llmos.models.registry import Registry
from llmos.security.permissions import Permission


class CardJob(RequestObject, kw_only=True):
    """Measure a Version's card."""

    kind: Literal["card"] = "card"
    model: str
    """The reference of the Version to measure."""


def _check(settings: Settings, registry: Registry, request: CardJob) -> CardJob:
    from llmos.models.cards.measure import check_measurable

    version = registry.resolve(request.model)
    check_measurable(version)
    return CardJob(model=version.ref)


def _work(context: Context, request: CardJob) -> Mapping[str, Any]:
    from llmos.models.cards.measure import make_card

    registry = context.registry
    card = make_card(registry, registry.resolve(request.model), context.progress)
    described = describe_card(card, verdicts(card, Policies(registry.database).all()))
    result: dict[str, Any] = msgspec.to_builtins(described)
    return result


def _command(request: CardJob) -> str:
    return shlex.join(["llmos", "card", request.model, "--measure"])


CARD = JobKind(
    name="card", request=CardJob, check=_check, work=_work, command=_command, permission=Permission.MODELS_WRITE
)
