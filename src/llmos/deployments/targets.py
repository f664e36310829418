"""What a route may lead to, and how it is spelled: a reference of a model, or `remote:PROVIDER/MODEL`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llmos.core.errors import BadRequest
from llmos.models.names import parse_reference

REMOTE = "remote:"

MAX_LENGTH = 256
MAX_TARGETS = 32
"""Of one route, its fallbacks included."""

_REMOTE_MODEL = re.compile(r"[\x21-\x7e]{1,160}")
"""What providers call their models: `gpt-4o-mini`, `meta-llama/Llama-3.1-8B`, `ft:gpt-4o:acme::x`."""


@dataclass(frozen=True, slots=True)
class RemoteName:
    provider: str
    model: str


def remote_name(target: str) -> RemoteName | None:
    """Return what a remote target names, None for one on this machine. Raises BadRequest for one that names nothing."""
    if not target.startswith(REMOTE):
        return None
    provider, _, model = target.removeprefix(REMOTE).partition("/")
    if not (provider and _REMOTE_MODEL.fullmatch(model)):
        raise BadRequest(
            f"{target[:80]!r} names no remote model: write remote:PROVIDER/MODEL, such as remote:openai/gpt-4o-mini.",
            param="target",
        )
    return RemoteName(provider, model)


def check_target(target: str) -> str:
    """Return a well-formed target. Raises BadRequest that says how one is spelled."""
    if remote_name(target) is None:
        parse_reference(target)
    if len(target) > MAX_LENGTH:
        raise BadRequest(f"{target[:80]!r}… has {len(target)} characters; a target has {MAX_LENGTH}.", param="target")
    return target


def check_percents(percent_of: Mapping[str, float]) -> dict[str, float]:
    """Return the targets that get anything. Raises BadRequest unless the percents come to 100."""
    for target, percent in percent_of.items():
        # Hundredths are added up as whole numbers, so that 33.33 + 33.33 + 33.34 is 100.
        if not 0 <= percent <= 100 or abs(percent * 100 - round(percent * 100)) > 1e-6:
            raise BadRequest(
                f"{target} has the weight {percent:g} %; it takes 0 to 100, with two decimals at most.", param="targets"
            )
    total = sum(round(percent * 100) for percent in percent_of.values()) / 100
    if total != 100:
        spelled = " + ".join(f"{percent:g}" for percent in percent_of.values()) or "nothing"
        advice = f"{100 - total:g} is missing" if total < 100 else f"{total - 100:g} is too much"
        sums = f", which is {total:g}" if len(percent_of) > 1 else ""
        raise BadRequest(f"The weights must come to 100 %. They are {spelled}{sums}: {advice}.", param="targets")
    return {target: float(percent) for target, percent in percent_of.items() if percent}


def check_fallbacks(percent_of: Mapping[str, float], fallbacks: Sequence[str]) -> tuple[str, ...]:
    """Return the fallbacks. Raises BadRequest for one that could never help."""
    for place, fallback in enumerate(fallbacks):
        if list(percent_of) == [fallback]:
            raise BadRequest(f"{fallback} can't fall back onto itself. Name another target.", param="fallbacks")
        if fallback in fallbacks[:place]:
            raise BadRequest(f"{fallback} is named twice among the fallbacks. Name it once.", param="fallbacks")
    if len(percent_of) + len(fallbacks) > MAX_TARGETS:
        raise BadRequest(f"A route has {MAX_TARGETS} targets at most, its fallbacks included.", param="targets")
    return tuple(fallbacks)
