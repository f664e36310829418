"""What travels with a version's files from one installation to another: its record, a JSON object.

The digest in it is of the same canonical manifest everywhere, so whoever takes a version in counts it again.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec

from llmos.core.errors import BadModelFile, BadRequest
from llmos.models.names import check_file_name
from llmos.models.store import StoredFile
from llmos.models.versions.manifest import Making, Manifest
from llmos.models.versions.recording import Origin
from llmos.models.versions.versions import Version

Digest = Annotated[str, msgspec.Meta(pattern="^sha256:[0-9a-f]{64}$")]


class RecordedFile(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    digest: Digest
    size: Annotated[int, msgspec.Meta(ge=0)]


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A version, as it is written down for others."""

    model: str
    digest: Digest
    files: Annotated[list[RecordedFile], msgspec.Meta(min_length=1)]
    created_at: datetime
    source: str
    license: str | None = None
    sampling: dict[str, float] = {}
    parent: Digest | None = None
    """Of the version that it was made from."""
    recipe: dict[str, Any] | None = None
    made_by: str | None = None
    signatures: list[str] = []
    """Bundles in JSON, see signatures.py."""

    @property
    def stored_files(self) -> list[StoredFile]:
        return [StoredFile(file.name, file.digest, file.size) for file in self.files]

    def origin(self, source: str) -> Origin:
        """Where the version comes from, for an installation that got it from `source`."""
        return Origin(
            source=source, license=self.license, sampling=self.sampling, making=self._making(), actor=self.made_by
        )

    def check(self) -> None:
        """Raises BadModelFile where the digest is not that of what the record says, or a file's name leads away."""
        for file in self.files:
            check_file_name(file.name)
        digest = Manifest(files=self.stored_files, making=self._making()).digest
        if digest != self.digest:
            raise BadModelFile(
                f"The record of {self.model} says {self.digest}, but what it lists comes to {digest}."
                " Somebody, or something, changed it on the way: get it once more, from where you trust."
            )

    def _making(self) -> Making | None:
        if self.parent is None:
            return None
        return Making(parent=self.parent, recipe=self.recipe or {}, license=self.license, sampling=self.sampling)


def record_of(version: Version, signatures: Sequence[str] = ()) -> Record:
    """`signatures`: those that are kept of it. Raises BadRequest for an adapter, which is nothing without the model
    that it changes."""
    if version.adapts is not None:
        raise BadRequest(
            f"{version.ref} is an adapter of {version.model}@{version.adapts} and doesn't travel alone. Take its files"
            f" where they are wanted, and import them there: llmos show {version.ref}",
            param="model",
        )
    return Record(
        model=version.model,
        digest=version.digest,
        files=[RecordedFile(name=file.name, digest=file.digest, size=file.size) for file in version.files],
        created_at=version.created_at,
        source=version.source,
        license=version.license,
        sampling=dict(version.sampling),
        parent=version.parent,
        recipe=None if version.recipe is None else dict(version.recipe),
        made_by=version.made_by,
        signatures=list(signatures),
    )


def read_record(value: Mapping[str, Any] | bytes) -> Record:
    """Return a checked record. Raises BadModelFile for anything else."""
    try:
        fields = msgspec.json.decode(value) if isinstance(value, bytes) else value
        record = msgspec.convert(fields, Record)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadModelFile(f"This is no record of a version: {error}.") from None
    record.check()
    return record


def fields_of(record: Record) -> dict[str, Any]:
    """The record as plain JSON values."""
    fields: dict[str, Any] = msgspec.to_builtins(record)
    return fields
