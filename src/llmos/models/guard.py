"""Who may be loaded: with the policy require_signature, only versions that a trusted key vouches for."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from llmos.core.config import Settings
from llmos.core.errors import BadModelFile, UntrustedModel
from llmos.models.policies import REQUIRE_SIGNATURE, Policies
from llmos.models.registry import Registry
from llmos.models.versions.versions import Version

if TYPE_CHECKING:
    from llmos.models.signing.signing import Signing

Seen = tuple[object, ...]


class LoadGuard:
    """Any thread may ask. Reads every byte of a version before its first load, and again when a file of it or a trusted
    key has changed since."""

    def __init__(self, registry: Registry, policies: Policies, signing: "Callable[[], Signing]") -> None:
        self._registry, self._policies, self._signing = registry, policies, signing
        self._verified: set[Seen] = set()
        self._verifying = threading.Lock()

    def check(self, ref: str) -> None:
        """Raise UntrustedModel, which says why and what to do, where the version must not be loaded."""
        if not self._policies.get(REQUIRE_SIGNATURE):
            return
        version, signing = self._registry.resolve(ref), self._signing()
        with self._verifying:
            seen = self._seen(version, signing)
            if seen in self._verified:
                return
            try:
                signing.verify(version.ref)
            except (BadModelFile, UntrustedModel) as error:
                because = f"since the project's policy {REQUIRE_SIGNATURE} is on"
                raise UntrustedModel(f"{version.ref} is not loaded, {because}: {error.message}") from error
            self._verified.add(seen)

    def _seen(self, version: Version, signing: "Signing") -> Seen:
        keys = tuple(key.fingerprint for key in signing.trusted.list())
        files = [self._registry.store.blob_path(file.digest) for file in version.files]
        states = [path.stat() for path in files if path.exists()]
        return (
            version.digest,
            keys,
            *((each.st_ino, each.st_size, each.st_mtime_ns, each.st_ctime_ns) for each in states),
        )


def open_guard(settings: Settings, registry: Registry) -> LoadGuard:
    def signing() -> "Signing":
        # Keys and their mathematics: most projects demand no signature and never need them.
        from llmos.models.signing.signing import Signing
        from llmos.models.signing.trusted_keys import TrustedKeys

        return Signing(registry, TrustedKeys(settings.trusted_keys_path))

    return LoadGuard(registry, Policies(registry.database), signing)
