"""The signatures that are kept of versions: sigstore bundles, as OpenSSF model-signing writes them.

Kept by the version's digest, and travelling with it: the same version has the same signatures under any name. What is
kept here is not believed: signing.py asks a trusted key.
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
"""A bundle names every file of its version, in some 200 bytes each."""

MAX_KEPT = 32
"""Signatures of one version."""


class Signatures:
    """Any thread and any process may call any of this."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    def get(self, version: Version) -> Sequence[str]:
        """The version's signatures, each a bundle in JSON, oldest first."""
        with self._database.session() as session:
            return [row.signature for row in queries.signatures(session, version.digest)]

    def put(self, version: Version, signature: str) -> None:
        """Keep a signature; one that is kept already is kept once. Raises BadModelFile for what is no bundle."""
        signer_of(signature)
        digest = f"sha256:{hashlib.sha256(signature.encode()).hexdigest()}"
        try:
            with self._database.transaction() as session:
                kept = queries.signatures(session, version.digest)
                if digest in {row.digest for row in kept}:
                    return
                if len(kept) >= MAX_KEPT:
                    raise BadModelFile(f"{version.ref} has {MAX_KEPT} signatures already, the most that are kept.")
                session.add(
                    SignatureRow(
                        version_digest=version.digest, digest=digest, signature=signature, added_at=self._clock()
                    )
                )
        except IntegrityError:
            pass  # another process put the same one at the same time


def check_signatures(signatures: Collection[str]) -> None:
    """Raise BadModelFile where one is no bundle, or where they are more than are kept of a version."""
    if len(signatures) > MAX_KEPT:
        raise BadModelFile(f"{len(signatures)} signatures come with the version; {MAX_KEPT} is the most that are kept.")
    for signature in signatures:
        signer_of(signature)


def signer_of(signature: str) -> str:
    """Return the fingerprint of the key that a bundle says to be of. Raises BadModelFile for what is no bundle."""
    if len(signature) > MAX_BYTES:
        raise BadModelFile(f"The signature is larger than {MAX_BYTES:,} bytes, which no signature of a version is.")
    try:
        hint = json.loads(signature)["verificationMaterial"]["publicKey"]["hint"]
    except (ValueError, KeyError, TypeError, RecursionError):
        hint = None
    if not isinstance(hint, str) or not hint:
        raise BadModelFile(
            "This is no signature by a key: that is a sigstore bundle with a publicKey's hint, as `llmos sign` and"
            " OpenSSF model-signing write it."
        )
    return hint
