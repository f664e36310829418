"""Sign versions and verify signatures, with OpenSSF model-signing: keys, and no network.

What is signed is the version's folder: its files, and beside them its canonical manifest, so that parent, recipe and
licence are vouched for, too. Whoever has such a folder verifies it with model-signing's own command.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmos.core.errors import BadModelFile, BadRequest, UntrustedModel
from llmos.models.registry import Registry
from llmos.models.signing.trusted_keys import Key, TrustedKeys, check_signing_key, read_key
from llmos.models.store import OnBytes
from llmos.models.versions.signatures import signer_of
from llmos.models.versions.versions import Version

MANIFEST_NAME = "llmos-manifest.json"
"""What the canonical manifest is called in the folder that is signed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A version and the key that signed it."""

    version: Version
    key: Key


class Signing:
    def __init__(self, registry: Registry, trusted: TrustedKeys) -> None:
        self._registry, self.trusted = registry, trusted

    def sign(self, ref: str, key: Path, on_bytes: OnBytes | None = None) -> Signed:
        """Sign a version with a private key and keep the signature. Raises BadModelFile, naming the file, where the
        bytes aren't what the version says."""
        _check_installed()
        from model_signing import signing

        public, version = check_signing_key(key), self._registry.resolve(ref)
        self._check_bytes(version, on_bytes)
        with self._folder(version) as folder, tempfile.TemporaryDirectory() as beside:
            bundle = Path(beside) / "bundle"
            signer = signing.Config().use_elliptic_key_signer(private_key=key)
            signer.set_hashing_config(_by_file()).sign(folder, bundle)
            self._registry.signatures.put(version, bundle.read_text())
        return Signed(version=version, key=public)

    def verify(self, ref: str, key: Path | None = None, on_bytes: OnBytes | None = None) -> Signed:
        """Return which key vouches for every byte of a version: `key`, or one that is trusted here.

        Raises BadModelFile, naming the file, where the bytes aren't what the version says; UntrustedModel where no such
        key has signed it, or not this.
        """
        version = self._registry.resolve(ref)
        keys = self.trusted.list() if key is None else [read_key(key)]
        try:
            return Signed(version=version, key=self._vouching(version, keys, key))
        except UntrustedModel:
            self._check_bytes(version, on_bytes)  # which would be the better reason
            raise

    def _vouching(self, version: Version, keys: Sequence[Key], named: Path | None) -> Key:
        signatures = self._registry.signatures.get(version)
        if not signatures:
            raise UntrustedModel(f"{version.ref} isn't signed. Sign it with: llmos sign {version.ref} --key FILE")
        by_fingerprint = {key.fingerprint: key for key in keys}
        signers = {text: signer_of(text) for text in signatures}
        candidates = [(by_fingerprint[who], text) for text, who in signers.items() if who in by_fingerprint]
        if not candidates:
            told = ", ".join(sorted({f"{who[:12]}…" for who in signers.values()}))
            whom = f"{named} is another key" if named else "no key that is trusted here"
            advice = "" if named else " If you believe in it, add it: llmos trust add NAME FILE"
            raise UntrustedModel(f"{version.ref} is signed by the key {told}: {whom}.{advice}")
        reasons = []
        with self._folder(version) as folder:
            for key, text in candidates:
                if (reason := _reason_against(text, key, folder)) is None:
                    return key
                reasons.append(f"{key.name}'s signature doesn't hold: {reason}")
        raise UntrustedModel(
            f"{version.ref} is not what was signed: {' '.join(reasons)} Get the version once more from where you trust."
        )

    def _check_bytes(self, version: Version, on_bytes: OnBytes | None) -> None:
        if problems := self._registry.store.verify({file.digest for file in version.files}, on_bytes):
            reasons = {problem.digest: problem.reason for problem in problems}
            told = " ".join(f"{file.name} {reasons[file.digest]}." for file in version.files if file.digest in reasons)
            raise BadModelFile(
                f"{version.ref} is damaged: {told} Bring it back from where it came from: {version.source}"
            )

    @contextmanager
    def _folder(self, version: Version) -> Iterator[Path]:
        """The version's files as a folder, of links, with its manifest."""
        with tempfile.TemporaryDirectory() as parent:
            folder = Path(parent) / version.model
            folder.mkdir()
            for name, blob in self._registry.files(version).items():
                if name == MANIFEST_NAME:
                    raise BadRequest(f"{version.ref} has a file of its own called {name}, so it can't be signed.")
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).symlink_to(blob)
            (folder / MANIFEST_NAME).write_bytes(self._registry.manifest(version).canonical())
            yield folder


def _reason_against(signature: str, key: Key, folder: Path) -> str | None:
    """Why the signature doesn't vouch for the folder, None where it does."""
    _check_installed()
    from model_signing import verifying

    with tempfile.TemporaryDirectory() as beside:
        bundle, pem = Path(beside) / "bundle", Path(beside) / "key.pem"
        bundle.write_text(signature)
        pem.write_bytes(key.pem)
        try:
            verifier = verifying.Config().use_elliptic_key_verifier(public_key=pem)
            verifier.set_hashing_config(_by_file()).verify(folder, bundle)
        except OSError as error:
            return f"{error.filename}: {error.strerror}." if error.strerror else f"{error}."
        except Exception as error:
            # Whatever a hostile bundle makes the library raise: it doesn't vouch.
            return f"{str(error).splitlines()[0]}." if str(error) else "it isn't by this key, or of other bytes."
    return None


def _by_file() -> Any:
    from model_signing import hashing

    return hashing.Config().use_file_serialization(hashing_algorithm="sha256").set_allow_symlinks(True)


def _check_installed() -> None:
    try:
        import model_signing  # noqa: F401
    except ModuleNotFoundError:
        raise BadRequest(
            "Signing takes the package model-signing, which isn't installed: pip install 'llmos[signing]'"
        ) from None
