"""Targets of routes: the reference of a model, or `remote:PROVIDER/MODEL`. Checks their syntax and their weights."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llmos.core.errors import BadRequest
from llmos.core.names import parse_reference

REMOTE = "remote:"

MAX_LENGTH = 256
MAX_TARGETS = 32
"""The most targets of one route, including its fallbacks."""

_REMOTE_MODEL = re.compile(r"[\x21-\x7e]{1,160}")
"""The names that providers give their models: `gpt-4o-mini`, `meta-llama/Llama-3.1-8B`, `ft:gpt-4o:acme::x`."""


@dataclass(frozen=True, slots=True)
class RemoteName:
    provider: str
    model: str


def remote_name(target: str) -> RemoteName | None:
    """Return the provider and model of a remote target, None for a local one. Raises BadRequest for a malformed one."""
    if not target.startswith(REMOTE):
        return None
    provider, _, model = target.removeprefix(REMOTE).partition("/")
    if not (provider and _REMOTE_MODEL.fullmatch(model)):
        raise BadRequest(
            f"{target[:80]!r} is not a remote model: write remote:PROVIDER/MODEL, such as remote:openai/gpt-4o-mini.",
            param="target",
        )
    return RemoteName(provider, model)


def check_target(target: str) -> str:
    """Return the target. Raises BadRequest, with the syntax, for a malformed one."""
    if target.startswith("app:"):
        raise BadRequest(
            f"{target[:80]!r} is an application, which callers request by its own name. A route leads to models.",
            param="target",
        )
    if remote_name(target) is None:
        parse_reference(target)
    if len(target) > MAX_LENGTH:
        raise BadRequest(
            f"{target[:80]!r}… has {len(target)} characters; a target may have {MAX_LENGTH}.", param="target"
        )
    return target


def check_percents(percent_of: Mapping[str, float]) -> dict[str, float]:
    """Return the targets with more than 0 %. Raises BadRequest unless the percents add up to 100."""
    for target, percent in percent_of.items():
        # Hundredths are added as integers, so that 33.33 + 33.33 + 33.34 is 100.
        if not 0 <= percent <= 100 or abs(percent * 100 - round(percent * 100)) > 1e-6:
            raise BadRequest(
                f"The weight of {target} is {percent:g} %; it must be from 0 to 100, with at most two decimals.",
                param="targets",
            )
    total = sum(round(percent * 100) for percent in percent_of.values()) / 100
    if total != 100:
        listed = " + ".join(f"{percent:g}" for percent in percent_of.values()) or "nothing"
        advice = f"{100 - total:g} is missing" if total < 100 else f"{total - 100:g} is too much"
        sums = f", which is {total:g}" if len(percent_of) > 1 else ""
        raise BadRequest(f"The weights must add up to 100 %. They are {listed}{sums}: {advice}.", param="targets")
    return {target: float(percent) for target, percent in percent_of.items() if percent}


def check_fallbacks(percent_of: Mapping[str, float], fallbacks: Sequence[str]) -> tuple[str, ...]:
    """Return the fallbacks. Raises BadRequest for one that could never be tried."""
    for index, fallback in enumerate(fallbacks):
        if list(percent_of) == [fallback]:
            raise BadRequest(f"{fallback} can't be its own fallback. Name another target.", param="fallbacks")
        if fallback in fallbacks[:index]:
            raise BadRequest(f"{fallback} is listed twice in the fallbacks. List it once.", param="fallbacks")
    if len(percent_of) + len(fallbacks) > MAX_TARGETS:
        raise BadRequest(f"A route has at most {MAX_TARGETS} targets, including its fallbacks.", param="targets")
    return tuple(fallbacks)
