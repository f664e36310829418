"""The lines of batches that are about one person: those whose request names the person."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import msgspec

from llmos.core.json_text import read_json


@dataclass(slots=True)
class PersonalLines:
    """A person's lines in one input file."""

    numbers: set[int] = field(default_factory=set)
    """The numbers of the lines, from 1."""
    digests: list[bytes] = field(default_factory=list)
    """The SHA-256 of each line's body."""


def users_of(body: Mapping[str, Any]) -> set[str]:
    """Return what a request of any wire format calls the person on whose behalf it was made."""
    metadata = body.get("metadata")
    user_id = metadata.get("user_id") if isinstance(metadata, dict) else None
    return {each for each in (body.get("user"), body.get("safety_identifier"), user_id) if isinstance(each, str)} - {""}


def body_digest(body: Any) -> bytes:
    """Return the SHA-256 of a request, whatever the order of its fields and its white space."""
    return hashlib.sha256(msgspec.json.encode(body, order="sorted")).digest()


def find_personal_lines(file: BinaryIO, subject: str) -> PersonalLines:
    found = PersonalLines()
    for number, line in enumerate(file, 1):
        try:
            body = read_json(line)[0].get("body")
        except (msgspec.MsgspecError, UnicodeDecodeError, AttributeError):
            continue  # Not a line of a batch.
        if isinstance(body, dict) and subject in users_of(body):
            found.numbers.add(number)
            found.digests.append(body_digest(body))
    return found


def without(file: BinaryIO, is_personal: Callable[[int, bytes], bool]) -> Iterator[bytes]:
    """Yield the lines of a file that aren't about the person. `is_personal(number, line)`."""
    for number, line in enumerate(file, 1):
        if not is_personal(number, line):
            yield line
