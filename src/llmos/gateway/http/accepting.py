"""The format of an answer that a request asks for by its header Accept (RFC 9110, 12.5.1)."""

from collections.abc import Mapping

from fastapi import Request


def accepted_format(request: Request, formats: Mapping[str, str], *, asked: str | None) -> str:
    """Return the format that `asked` names; without it, the one that the caller accepts most gladly.

    formats: {format: its media type}; the first one is the default, also for a caller who accepts none of them.
    """
    if asked is not None:
        return asked
    accepted = request.headers.get("accept", "")
    best, best_weight = next(iter(formats)), 0.0
    for format, media_type in formats.items():
        if (weight := _weight(accepted, media_type)) > best_weight:
            best, best_weight = format, weight
    return best


def _weight(accepted: str, media_type: str) -> float:
    """Return the weight of a media type, from 0 to 1: that of the most specific range that it is in."""
    found = (-1, 0.0)
    kind = media_type.partition("/")[0]
    for part in accepted.split(","):
        range_, *parameters = (each.strip().lower() for each in part.split(";"))
        rank = {media_type: 2, f"{kind}/*": 1, "*/*": 0}.get(range_, -1)
        if rank > found[0]:
            found = rank, _quality(parameters)
    return found[1]


def _quality(parameters: list[str]) -> float:
    given = next((each.removeprefix("q=") for each in parameters if each.startswith("q=")), "1")
    try:
        return min(max(float(given), 0.0), 1.0)
    except ValueError:
        return 0.0
