"""Signs versions and verifies signatures with OpenSSF model-signing, with key pairs and without a network.

A signature covers a folder with the version's files, its canonical manifest, which has the parent and the recipe, and
its statement: license, sampling parameters and maker. Such a folder can also be verified with model-signing's own
command. Signatures from before there were statements lack it.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any, NamedTuple

from llmos.core.byte_progress import OnBytes
from llmos.core.encryption.sealed_path import SealedPath
from llmos.core.errors import BadModelFile, BadRequest, UntrustedModel
from llmos.core.store.blob_files import digest_of
from llmos.models.registry import Registry
from llmos.models.signing.trusted_keys import Key, TrustedKeys, check_signing_key, read_key
from llmos.models.versions.records import VersionRecord, statement_of
from llmos.models.versions.signatures import signer_of
from llmos.models.versions.versions import Version

MANIFEST_NAME = "llmos-manifest.json"
"""The name of the canonical manifest in the signed folder."""

STATEMENT_NAME = "llmos-statement.json"
"""The name of the version's statement in the signed folder."""

_OURS = (MANIFEST_NAME, STATEMENT_NAME)


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The content that is signed."""

    files: Mapping[str, Path]
    manifest: bytes
    statement: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A version and the key that signed it."""

    version: Version
    key: Key
    covers_statement: bool = True
    """True if the signature covers the license, the sampling parameters and the maker."""


class _Folder(NamedTuple):
    """A folder to sign or to verify."""

    path: Path
    hashing: Any


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
        with _folder(version.ref, self._content(version)) as folder, tempfile.TemporaryDirectory() as temporary:
            bundle = Path(temporary) / "bundle"
            signer = signing.Config().use_elliptic_key_signer(private_key=key)
            signer.set_hashing_config(folder.hashing).sign(folder.path, bundle)
            self._registry.signatures.put(version, bundle.read_text())
        return Signed(version=version, key=public)

    def verify(self, ref: str, key: Path | None = None, on_bytes: OnBytes | None = None) -> Signed:
        """Verify a version against a public key file, or against the trusted keys, and return the key that signed it.

        A signature that covers the version's statement is preferred to one that doesn't.

        Raises BadModelFile, naming the file, for damaged blobs, and UntrustedModel where none of these keys signed the
        version or its content has changed.
        """
        version = self._registry.resolve(ref)
        keys = self.trusted.list() if key is None else [read_key(key)]
        try:
            return self._find_signer(version, keys, key)
        except UntrustedModel:
            self._check_bytes(version, on_bytes)  # Damaged blobs are the more helpful reason.
            raise

    def _find_signer(self, version: Version, keys: Sequence[Key], path: Path | None) -> Signed:
        """Return the first of the keys that signed the version. `path`: the key file that the caller named, or None."""
        signatures = self._registry.signatures.get(version)
        if not signatures:
            raise UntrustedModel(f"{version.ref} isn't signed. Sign it with: llmos sign {version.ref} --key FILE")
        candidates = _signatures_of(keys, signatures)
        if not candidates:
            names = ", ".join(sorted({f"{signer_of(text)[:12]}…" for text in signatures}))
            reason = f"{path} is another key" if path else "no key that is trusted here"
            advice = "" if path else " If you trust it, add it: llmos trust add NAME FILE"
            raise UntrustedModel(f"{version.ref} is signed by the key {names}: {reason}.{advice}")
        key, covers_statement = _find_valid(version.ref, self._content(version), candidates)
        return Signed(version=version, key=key, covers_statement=covers_statement)

    def _check_bytes(self, version: Version, on_bytes: OnBytes | None) -> None:
        """Raise BadModelFile where a blob is missing or damaged."""
        if problems := self._registry.store.verify({file.digest for file in version.files}, on_bytes):
            reasons = {problem.digest: problem.reason for problem in problems}
            damage = " ".join(
                f"{file.name} {reasons[file.digest]}." for file in version.files if file.digest in reasons
            )
            raise BadModelFile(f"{version.ref} is damaged: {damage} Restore it from its source: {version.source}")

    def _content(self, version: Version) -> Content:
        return Content(
            files=self._registry.files(version),
            manifest=self._registry.manifest(version).canonical(),
            statement=statement_of(version),
        )


def check_arrival(trusted: TrustedKeys, record: VersionRecord, files: Mapping[str, Path]) -> None:
    """Raise UntrustedModel where a key that is trusted here signed something else than what has arrived.

    `files`: of the version, whose content is the record's. Says nothing of versions that no trusted key signed.
    """
    candidates = _signatures_of(trusted.list(), record.signatures)
    content = Content(files=files, manifest=record.manifest.canonical(), statement=record.statement)
    if candidates:
        _find_valid(record.model, content, candidates, consequence=" Nothing was stored.")


def _signatures_of(keys: Sequence[Key], signatures: Sequence[str]) -> list[tuple[Key, str]]:
    """Return the signatures that name one of these keys."""
    by_fingerprint = {key.fingerprint: key for key in keys}
    signers = [(signer_of(text), text) for text in signatures]
    return [(by_fingerprint[signer], text) for signer, text in signers if signer in by_fingerprint]


def _find_valid(
    ref: str, content: Content, candidates: Sequence[tuple[Key, str]], *, consequence: str = ""
) -> tuple[Key, bool]:
    """Return the first key with a valid signature, and whether that covers the statement.

    Raises UntrustedModel, with the reason for each signature where the statement is covered, and the `consequence`.
    """
    failures = []
    for covers_statement in (True, False):
        with _folder(ref, content, covers_statement=covers_statement) as folder:
            for key, text in candidates:
                if (failure := _find_failure(text, key, folder)) is None:
                    return key, covers_statement
                if covers_statement:
                    failures.append(f"The signature of the key {key.name} is invalid: {failure}")
    raise UntrustedModel(
        f"{ref} is not what was signed: {' '.join(failures)}{consequence} Get it again from a source that you trust."
    )


@contextmanager
def _folder(ref: str, content: Content, *, covers_statement: bool = True) -> Iterator[_Folder]:
    """Yield a temporary folder with symbolic links to the files, and with what the version says of itself.

    An empty file takes the place of an encrypted one, which the library can't open; it is hashed here.
    """
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "model"
        folder.mkdir()
        for name, blob in content.files.items():
            if name in _OURS:
                raise BadRequest(f"{ref} has a file called {name}, which is reserved. It can't be signed.")
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            if isinstance(blob, SealedPath):
                (folder / name).touch()
            else:
                (folder / name).symlink_to(blob)
        (folder / MANIFEST_NAME).write_bytes(content.manifest)
        if covers_statement:
            (folder / STATEMENT_NAME).write_bytes(content.statement)
        yield _Folder(folder, _hashing_config(content.files))


def _find_failure(signature: str, key: Key, folder: _Folder) -> str | None:
    """Return the reason why the signature is invalid for the folder, or None where it is valid."""
    _check_installed()
    from model_signing import verifying

    with tempfile.TemporaryDirectory() as temporary:
        bundle, pem = Path(temporary) / "bundle", Path(temporary) / "key.pem"
        bundle.write_text(signature)
        pem.write_bytes(key.pem)
        try:
            verifier = verifying.Config().use_elliptic_key_verifier(public_key=pem)
            verifier.set_hashing_config(folder.hashing).verify(folder.path, bundle)
        except OSError as error:
            return f"{error.filename}: {error.strerror}." if error.strerror else f"{error}."
        except Exception as error:
            # A malicious bundle can make the library raise anything. Every exception means: not verified.
            return f"{str(error).splitlines()[0]}." if str(error) else "it is by another key, or for other bytes."
    return None


def _hashing_config(files: Mapping[str, Path]) -> Any:
    """Return the library's configuration of hashing. It hashes the plain bytes of encrypted files."""
    _check_installed()
    from model_signing import hashing, manifest

    class Hashing(hashing.Config):  # type: ignore[misc]
        def hash(self, model_path: Any, *, files_to_hash: Any = None) -> Any:
            found = super().hash(model_path, files_to_hash=files_to_hash)
            items = []
            for each in found.resource_descriptors():
                path, digest = files.get(each.identifier), each.digest
                if isinstance(path, SealedPath):
                    digest = type(digest)(digest.algorithm, bytes.fromhex(digest_of(path).removeprefix("sha256:")))
                items.append(manifest.FileManifestItem(path=PurePosixPath(each.identifier), digest=digest))
            parameters = SimpleNamespace(serialization_parameters=found.serialization_type)
            return manifest.Manifest(found.model_name, items, parameters)

    return Hashing().use_file_serialization(hashing_algorithm="sha256").set_allow_symlinks(True)


def _check_installed() -> None:
    try:
        import model_signing  # noqa: F401
    except ModuleNotFoundError:
        raise BadRequest(
            "Signing needs the package model-signing, which isn't installed: pip install 'llmos[signing]'"
        ) from None
