"""Settings and instants of requests, as the server reads them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any


def given_settings(settings: Mapping[str, Any], kind: type, whose: str) -> dict[str, Any]:
    """Return the settings that aren't None. Raises TypeError for an unknown one."""
    given = {key: value for key, value in settings.items() if value is not None}
    known = kind.__annotations__
    if unknown := given.keys() - known.keys():
        raise TypeError(f"There is no setting {min(unknown)!r} of {whose}. Settings: {', '.join(known)}.")
    return given


def instant(moment: datetime) -> str:
    return (moment.astimezone() if moment.tzinfo is None else moment).isoformat()
