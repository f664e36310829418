"""The base of every description."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

D = TypeVar("D", bound="Description")


class Description(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """The JSON object that describes one thing.

    Every field is always written. Reading ignores unknown fields, which a newer server sends, and takes the default for
    missing ones, which an older server doesn't send.
    """

    @property
    def raw(self) -> dict[str, Any]:
        """The JSON object that this was read from, with fields that this version of LLMOS doesn't know."""
        raw: dict[str, Any] | None = self.__dict__.get("_raw")
        return msgspec.to_builtins(self) if raw is None else raw


def read_description(kind: type[D], body: Mapping[str, Any]) -> D:
    """Return the description that a decoded JSON object holds. Raises msgspec.ValidationError."""
    description = msgspec.convert(body, kind)
    description.__dict__["_raw"] = dict(body)
    return description
