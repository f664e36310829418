"""Signs versions and verifies signatures with OpenSSF model-signing, with key pairs and without a network.

A signature covers a folder with the version's files and its canonical manifest, and so the parent, the recipe and the
license as well. Such a folder can also be verified with model-signing's own command.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmos.core.errors import BadModelFile, BadRequest, UntrustedModel
from llmos.models.byte_progress import OnBytes
from llmos.models.registry import Registry
from llmos.models.signing.trusted_keys import Key, TrustedKeys, check_signing_key, read_key
from llmos.models.versions.signatures import signer_of
from llmos.models.versions.versions import Version

MANIFEST_NAME = "llmos-manifest.json"
"""The name of the canonical manifest in the signed folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A version and the key that signed it."""

    version: Version
    key: Key


class Signing:
    """Signs and verifies versions. Needs the extra `llmos[signing]`.

    Signing(registry, TrustedKeys(settings.trusted_keys_path)).verify("smollm2@1")
    """

    def __init__(self, registry: Registry, trusted: TrustedKeys) -> None:
        self._registry, self.trusted = registry, trusted

    def sign(self, ref: str, key: Path, on_bytes: OnBytes | None = None) -> Signed:
        """Sign a version with a private key file and store the signature. `on_bytes`: progress of reading the files.

        Raises BadRequest for an unsuitable key, and BadModelFile, naming the file, for damaged blobs.
        """
        _check_installed()
        from model_signing import signing

        public, version = check_signing_key(key), self._registry.resolve(ref)
        self._check_bytes(version, on_bytes)
        with self._folder(version) as folder, tempfile.TemporaryDirectory() as temporary:
            bundle = Path(temporary) / "bundle"
            signer = signing.Config().use_elliptic_key_signer(private_key=key)
            signer.set_hashing_config(_hashing_config()).sign(folder, bundle)
            self._registry.signatures.put(version, bundle.read_text())
        return Signed(version=version, key=public)

    def verify(self, ref: str, key: Path | None = None, on_bytes: OnBytes | None = None) -> Signed:
        """Verify a version against a public key file, or against the trusted keys, and return the key that signed it.

        Raises BadModelFile, naming the file, for damaged blobs, and UntrustedModel where none of these keys signed the
        version or its content has changed.
        """
        version = self._registry.resolve(ref)
        keys = self.trusted.list() if key is None else [read_key(key)]
        try:
            return Signed(version=version, key=self._find_signer(version, keys, key))
        except UntrustedModel:
            self._check_bytes(version, on_bytes)  # Damaged blobs are the more helpful reason.
            raise

    def _find_signer(self, version: Version, keys: Sequence[Key], path: Path | None) -> Key:
        """Return the first of the keys that signed the version. `path`: the key file that the caller named, or None."""
        signatures = self._registry.signatures.get(version)
        if not signatures:
            raise UntrustedModel(f"{version.ref} isn't signed. Sign it with: llmos sign {version.ref} --key FILE")
        by_fingerprint = {key.fingerprint: key for key in keys}
        signers = {text: signer_of(text) for text in signatures}
        candidates = [(by_fingerprint[each], text) for text, each in signers.items() if each in by_fingerprint]
        if not candidates:
            names = ", ".join(sorted({f"{signer[:12]}…" for signer in signers.values()}))
            reason = f"{path} is another key" if path else "no key that is trusted here"
            advice = "" if path else " If you trust it, add it: llmos trust add NAME FILE"
            raise UntrustedModel(f"{version.ref} is signed by the key {names}: {reason}.{advice}")
        reasons = []
        with self._folder(version) as folder:
            for key, text in candidates:
                if (failure := _find_failure(text, key, folder)) is None:
                    return key
                reasons.append(f"The signature of the key {key.name} is invalid: {failure}")
        raise UntrustedModel(
            f"{version.ref} is not what was signed: {' '.join(reasons)} Get it again from a source that you trust."
        )

    def _check_bytes(self, version: Version, on_bytes: OnBytes | None) -> None:
        """Raise BadModelFile where a blob is missing or damaged."""
        if problems := self._registry.store.verify({file.digest for file in version.files}, on_bytes):
            reasons = {problem.digest: problem.reason for problem in problems}
            damage = " ".join(
                f"{file.name} {reasons[file.digest]}." for file in version.files if file.digest in reasons
            )
            raise BadModelFile(f"{version.ref} is damaged: {damage} Restore it from its source: {version.source}")

    @contextmanager
    def _folder(self, version: Version) -> Iterator[Path]:
        """Yield a temporary folder with symbolic links to the version's blobs, and its manifest."""
        with tempfile.TemporaryDirectory() as parent:
            folder = Path(parent) / version.model
            folder.mkdir()
            for name, blob in self._registry.files(version).items():
                if name == MANIFEST_NAME:
                    raise BadRequest(f"{version.ref} has a file called {name}, which is reserved. It can't be signed.")
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).symlink_to(blob)
            (folder / MANIFEST_NAME).write_bytes(self._registry.manifest(version).canonical())
            yield folder


def _find_failure(signature: str, key: Key, folder: Path) -> str | None:
    """Return the reason why the signature is invalid for the folder, or None where it is valid."""
    _check_installed()
    from model_signing import verifying

    with tempfile.TemporaryDirectory() as temporary:
        bundle, pem = Path(temporary) / "bundle", Path(temporary) / "key.pem"
        bundle.write_text(signature)
        pem.write_bytes(key.pem)
        try:
            verifier = verifying.Config().use_elliptic_key_verifier(public_key=pem)
            verifier.set_hashing_config(_hashing_config()).verify(folder, bundle)
        except OSError as error:
            return f"{error.filename}: {error.strerror}." if error.strerror else f"{error}."
        except Exception as error:
            # A malicious bundle can make the library raise anything. Every exception means: not verified.
            return f"{str(error).splitlines()[0]}." if str(error) else "it is by another key, or for other bytes."
    return None


def _hashing_config() -> Any:
    from model_signing import hashing

    return hashing.Config().use_file_serialization(hashing_algorithm="sha256").set_allow_symlinks(True)


def _check_installed() -> None:
    try:
        import model_signing  # noqa: F401
    except ModuleNotFoundError:
        raise BadRequest(
            "Signing needs the package model-signing, which isn't installed: pip install 'llmos[signing]'"
        ) from None
