"""Stored signatures of versions: sigstore bundles, as OpenSSF model-signing writes them.

They are stored by the version's digest, so a version has the same signatures under any name. Storing a signature does
not verify it: models/signing does, with a trusted key.
"""

import hashlib
import json
from collections.abc import Collection, Sequence

from sqlalchemy.exc import IntegrityError

from llmos.core.clock import Clock
from llmos.core.database import Database
from llmos.core.errors import BadModelFile
from llmos.models import queries
from llmos.models.tables import SignatureRow
from llmos.models.versions.versions import Version

MAX_BYTES = 4 << 20
"""The most bytes of a bundle, which has about 200 for every file of the version."""

MAX_KEPT = 32
"""The most signatures of one version."""


class Signatures:
    """The signatures of all versions. Any thread and any process may use it."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    def get(self, version: Version) -> Sequence[str]:
        """Return the version's signatures, each a bundle as JSON, oldest first."""
        with self._database.session() as session:
            return [row.signature for row in queries.signatures(session, version.digest)]

    def put(self, version: Version, signature: str) -> None:
        """Store a signature; storing the same one again does nothing.

        Raises BadModelFile for an invalid bundle, and where the version has too many signatures.
        """
        signer_of(signature)
        digest = f"sha256:{hashlib.sha256(signature.encode()).hexdigest()}"
        try:
            with self._database.transaction() as session:
                kept = queries.signatures(session, version.digest)
                if digest in {row.digest for row in kept}:
                    return
                if len(kept) >= MAX_KEPT:
                    raise BadModelFile(f"{version.ref} has {MAX_KEPT} signatures, which is the limit.")
                session.add(
                    SignatureRow(
                        version_digest=version.digest, digest=digest, signature=signature, added_at=self._clock()
                    )
                )
        except IntegrityError:
            pass  # Another process stored the same one at the same time.


def check_signatures(signatures: Collection[str]) -> None:
    """Raise BadModelFile for an invalid bundle, and for more signatures than a version may have."""
    if len(signatures) > MAX_KEPT:
        raise BadModelFile(f"The version comes with {len(signatures)} signatures; the limit is {MAX_KEPT}.")
    for signature in signatures:
        signer_of(signature)


def signer_of(signature: str) -> str:
    """Return the fingerprint of the key that a bundle names, unverified. Raises BadModelFile for an invalid bundle."""
    if len(signature) > MAX_BYTES:
        raise BadModelFile(f"The signature is larger than {MAX_BYTES:,} bytes, the limit.")
    try:
        hint = json.loads(signature)["verificationMaterial"]["publicKey"]["hint"]
    except (ValueError, KeyError, TypeError, RecursionError):
        hint = None
    if not isinstance(hint, str) or not hint:
        raise BadModelFile(
            "This is not a signature: it must be a sigstore bundle with a publicKey hint, as `llmos sign` and"
            " OpenSSF model-signing write it."
        )
    return hint
