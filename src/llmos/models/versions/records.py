"""Version records: JSON objects that travel with a version's files from one installation to another.

The version's digest is that of its canonical manifest, and the record's digest covers everything that the record says
besides, so the receiver computes both again and compares. A record without a digest of its own is refused: nothing
would vouch for its license, sampling parameters and maker. Whoever passes on a record can write another one, with
another digest; a signature covers what its statement() says.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec

from llmos.core.errors import BadModelFile
from llmos.core.names import check_file_name
from llmos.core.store.blobs import StoredFile
from llmos.models.versions.manifest import Derivation, Manifest, canonical_json
from llmos.models.versions.recording import Origin
from llmos.models.versions.versions import Version

Digest = Annotated[str, msgspec.Meta(pattern="^sha256:[0-9a-f]{64}$")]


class RecordedFile(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    digest: Digest
    size: Annotated[int, msgspec.Meta(ge=0)]
    """Bytes."""


class VersionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A version, described for other installations."""

    model: str
    digest: Digest
    files: Annotated[list[RecordedFile], msgspec.Meta(min_length=1)]
    created_at: datetime
    source: str
    license: str | None = None
    sampling: dict[str, int | float] = {}
    """Whole numbers stay what they are: 2048 and 2048.0 have different digests."""
    adapts: Digest | None = None
    """For an adapter: the digest of the version that it adapts."""
    adapter: str | None = None
    """For an adapter: its name, MODEL:NAME."""
    parent: Digest | None = None
    """For a derived version: the digest of its parent."""
    recipe: dict[str, Any] | None = None
    made_by: str | None = None
    card: dict[str, Any] | None = None
    """The version's Card, in the format that it names. Measured where the version was, on another machine perhaps."""
    record_digest: Digest | None = None
    """sha256 of the canonical JSON of all other fields but the signatures."""
    signatures: list[str] = []
    """Sigstore bundles as JSON, see signatures.py."""

    @property
    def stored_files(self) -> list[StoredFile]:
        return [StoredFile(file.name, file.digest, file.size) for file in self.files]

    def origin(self, source: str, adapted: Version | None = None) -> Origin:
        """Return the version's origin for an installation that received it from `source`. `adapted`: of an adapter."""
        return Origin(
            adapted=adapted,
            source=source,
            license=self.license,
            sampling=self.sampling,
            derivation=self._derivation(),
            actor=self.made_by,
        )

    @property
    def manifest(self) -> Manifest:
        return Manifest(files=self.stored_files, adapts=self.adapts, derivation=self._derivation())

    @property
    def statement(self) -> bytes:
        """Return the facts that a signature covers besides the manifest."""
        return statement(license=self.license, sampling=self.sampling, made_by=self.made_by)

    def check(self) -> None:
        """Raise BadModelFile where a digest is not the content's, and BadRequest for an unsafe file name."""
        for file in self.files:
            check_file_name(file.name)
        changed = "It was changed on the way. Get it again from a source that you trust."
        if (digest := self.manifest.digest) != self.digest:
            raise BadModelFile(
                f"The record of {self.model} has the digest {self.digest}, but its content has {digest}. {changed}"
            )
        if self.record_digest is None:
            raise BadModelFile(
                f"The record of {self.model} has no record_digest, so nothing vouches for its license, sampling"
                " parameters and maker. Export or push it again with this version of LLMOS."
            )
        if (digest := digest_of_record(self)) != self.record_digest:
            raise BadModelFile(
                f"The record of {self.model} has the record_digest {self.record_digest}, but what it says has"
                f" {digest}. {changed}"
            )

    def _derivation(self) -> Derivation | None:
        if self.parent is None:
            return None
        return Derivation(parent=self.parent, recipe=self.recipe or {}, license=self.license, sampling=self.sampling)


def record_of(
    version: Version,
    signatures: Sequence[str] = (),
    card: Mapping[str, Any] | None = None,
    *,
    adapts: str | None = None,
    adapter: str | None = None,
) -> VersionRecord:
    """Return the record of a version with its signatures and its card. `adapts`, `adapter`: of an adapter."""
    record = VersionRecord(
        model=version.model,
        digest=version.digest,
        files=[RecordedFile(name=file.name, digest=file.digest, size=file.size) for file in version.files],
        created_at=version.created_at,
        source=version.source,
        license=version.license,
        sampling=dict(version.sampling),
        adapts=adapts,
        adapter=adapter,
        parent=version.parent,
        recipe=None if version.recipe is None else dict(version.recipe),
        made_by=version.made_by,
        card=None if card is None else dict(card),
        signatures=list(signatures),
    )
    return msgspec.structs.replace(record, record_digest=digest_of_record(record))


def digest_of_record(record: VersionRecord) -> str:
    """Return the digest of what the record says, sha256:<hex>."""
    fields = fields_of(record)
    for own in ("record_digest", "signatures"):
        del fields[own]
    return f"sha256:{hashlib.sha256(canonical_json(fields)).hexdigest()}"


def statement(*, license: str | None, sampling: Mapping[str, float], made_by: str | None) -> bytes:
    """Return what a version says of itself beside its manifest, in a canonical form that travels with it unchanged."""
    numbers = {name: float(value) for name, value in sampling.items()}
    return canonical_json({"license": license, "made_by": made_by, "sampling": numbers})


def statement_of(version: Version) -> bytes:
    return statement(license=version.license, sampling=version.sampling, made_by=version.made_by)


def read_record(value: Mapping[str, Any] | bytes) -> VersionRecord:
    """Parse and check a record. Raises BadModelFile for an invalid one."""
    try:
        fields = msgspec.json.decode(value) if isinstance(value, bytes) else value
        record = msgspec.convert(fields, VersionRecord)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadModelFile(f"This is not the record of a version: {error}.") from None
    record.check()
    return record


def fields_of(record: VersionRecord) -> dict[str, Any]:
    """Return the record as plain JSON values."""
    fields: dict[str, Any] = msgspec.to_builtins(record)
    return fields
