"""Encrypts the files of stored versions. What a kill or a full disk leaves is as readable as before; run it again."""

from collections.abc import Sequence

from llmos.core.byte_progress import OnBytes
from llmos.core.errors import BadModelFile
from llmos.core.names import parse_reference
from llmos.core.progress import Progress, no_progress
from llmos.core.schemas.encryption import EncryptedModelsDescription
from llmos.models.registry import Registry
from llmos.models.versions.versions import Version


def versions_to_encrypt(registry: Registry, name: str | None) -> Sequence[Version]:
    """Return all versions of a model (NAME), one version (NAME@3, NAME:ALIAS), or all of all models (None).

    Raises ModelNotFound.
    """
    if name is None:
        return registry.list()
    version = registry.resolve(name)
    if not parse_reference(name).is_whole:
        return [version]
    return [each for each in registry.list() if each.model == version.model]


def encrypt_models(
    registry: Registry, name: str | None, progress: Progress = no_progress
) -> EncryptedModelsDescription:
    """Encrypt what isn't of versions_to_encrypt(), and remove what was packed of it. Raises BadModelFile for files that
    are missing or damaged, after all others are encrypted, and StoreFailed for a full disk."""
    store, versions = registry.store, versions_to_encrypt(registry, name)
    files = {file.digest: file for version in versions for file in version.files}
    total = sum(file.size for file in files.values() if not store.is_encrypted(file.digest))
    num_files, num_bytes, problems = 0, 0, []
    for file in files.values():
        try:
            with store.publishing():
                if store.seal(file.digest, _shifted(progress, num_bytes, total)):
                    num_files, num_bytes = num_files + 1, num_bytes + file.size
        except BadModelFile as error:
            problems.append(f"{file.name}: {error.message}")
    registry.remove_unused_packed()
    if problems:
        raise BadModelFile(" ".join(problems))
    return EncryptedModelsDescription(
        versions=[version.ref for version in versions], num_files=num_files, size_bytes=num_bytes
    )


def _shifted(progress: Progress, num_before: int, total: int) -> OnBytes:
    return lambda num_read: progress("encrypting", num_before + num_read, total)
