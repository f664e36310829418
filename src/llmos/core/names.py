"""Names of models, datasets, aliases and files, and references to versions.

smollm2                 the newest version; smollm2:latest too, unless there is such an alias
smollm2:prod            the version that the alias points at
smollm2@3               version 3
smollm2@sha256:1a2b…    the version with this digest; at least its first 12 digits
"""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from llmos.core.errors import BadRequest

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{12,64}")
_MAX_FILE_NAME = 512

APP_PREFIX = "app:"
"""Begins the names that applications have where models are asked for: app:support, or app:support@3."""
NEWEST = "latest"
"""The alias that other programs add to a name without one. It means the newest version where no alias has this name."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A parsed reference. At most one of alias, number and digest is set."""

    name: str
    """The name of the model or of the dataset."""
    alias: str | None = None
    number: int | None = None
    digest: str | None = None
    """sha256: and the first 12 to 64 hexadecimal digits."""

    @property
    def is_whole(self) -> bool:
        """True if no version is named."""
        return self.alias is None and self.number is None and self.digest is None


def parse_reference(text: str, noun: str = "model") -> Reference:
    """Parse a reference to a `noun`. Raises BadRequest that lists the four forms."""
    name, at, pin = text.partition("@")
    if not at:
        name, colon, alias = text.partition(":")
        if _NAME.fullmatch(name) and (not colon or _NAME.fullmatch(alias)):
            return Reference(name, alias=alias or None)
    elif _NAME.fullmatch(name):
        if pin.isascii() and pin.isdecimal() and 1 <= len(pin) <= 9 and int(pin) >= 1:
            return Reference(name, number=int(pin))
        if _DIGEST.fullmatch(pin):
            return Reference(name, digest=pin)
    raise BadRequest(
        f"{_shortened(text)} is not a reference to a {noun}: write NAME, NAME:ALIAS, NAME@NUMBER or NAME@sha256:DIGEST"
        " (at least 12 digits).",
        param=noun,
    )


def check_name(name: str, what: str) -> str:
    """Return `name` if it is valid. Raises BadRequest with the rules; `what` is the thing named, such as "a model"."""
    if not _NAME.fullmatch(name):
        raise BadRequest(
            f"{_shortened(name)} is not a valid name for {what}: use letters, digits and . _ - , begin with a letter or"
            " digit, and use at most 64 characters.",
            param="name",
        )
    return name


def check_file_name(name: str) -> str:
    """Return a relative path if it stays inside the model's folder. Raises BadRequest otherwise."""
    path = PurePosixPath(name)
    parts_are_plain = all(part not in ("", ".", "..") for part in name.split("/"))
    if (
        path.is_absolute()
        or not parts_are_plain
        or not name.isprintable()
        or "\\" in name
        or len(name) > _MAX_FILE_NAME
    ):
        raise BadRequest(f"{_shortened(name)} is not a valid file name.")
    return name


def _shortened(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:80] + "…")
