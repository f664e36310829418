"""Enforces the policy require_signature: only versions that a trusted key has signed are loaded."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from llmos.core.config import Settings
from llmos.core.errors import BadModelFile, UntrustedModel
from llmos.models.policies import REQUIRE_SIGNATURE, Policies
from llmos.models.registry import Registry
from llmos.models.versions.records import statement_of
from llmos.models.versions.versions import Version

if TYPE_CHECKING:
    from llmos.models.signing.signing import Signing

State = tuple[object, ...]
"""Everything that a verification depends on: the version, the trusted keys, and the blobs' file status."""


class SignatureEnforcer:
    """Checks versions before they are loaded. Any thread may use it.

    It reads every byte of a version before its first load, and again after a blob or the trusted keys have changed.
    """

    def __init__(self, registry: Registry, policies: Policies, open_signing: "Callable[[], Signing]") -> None:
        """`open_signing`: called only while the policy is on, since it imports cryptography."""
        self._registry, self._policies, self._open_signing = registry, policies, open_signing
        self._verified: set[State] = set()
        self._lock = threading.Lock()

    def check(self, ref: str) -> None:
        """Raise UntrustedModel, with the reason and what to do, where the version must not be loaded."""
        if not self._policies.get(REQUIRE_SIGNATURE):
            return
        version, signing = self._registry.resolve(ref), self._open_signing()
        with self._lock:
            state = self._state(version, signing)
            if state in self._verified:
                return
            try:
                signing.verify(version.ref)
            except (BadModelFile, UntrustedModel) as error:
                reason = f"because the project's policy {REQUIRE_SIGNATURE} is on"
                raise UntrustedModel(f"{version.ref} is not loaded {reason}: {error.message}") from error
            self._verified.add(state)

    def _state(self, version: Version, signing: "Signing") -> State:
        keys = tuple(key.fingerprint for key in signing.trusted.list())
        blobs = [self._registry.store.blob_path(file.digest) for file in version.files]
        stats = [path.stat() for path in blobs if path.exists()]
        return (
            version.digest,
            statement_of(version),
            keys,
            *((each.st_ino, each.st_size, each.st_mtime_ns, each.st_ctime_ns) for each in stats),
        )


def open_signature_enforcer(settings: Settings, registry: Registry) -> SignatureEnforcer:
    """Return the enforcer of this installation, with its policies and trusted keys."""

    def open_signing() -> "Signing":
        from llmos.models.signing.signing import Signing
        from llmos.models.signing.trusted_keys import TrustedKeys

        return Signing(registry, TrustedKeys(settings.trusted_keys_path))

    return SignatureEnforcer(registry, Policies(registry.database), open_signing)
