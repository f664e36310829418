"""Encryption at rest: the location of the keys, and the number of objects that are encrypted."""

from msgspec import field

from llmos.core.schemas.base import Description


class EncryptionDescription(Description, frozen=True, kw_only=True):
    master_key: str = ""
    """The location of the master key: a file, LLMOS_MASTER_KEY, or a key in Vault."""
    master_key_id: str = ""
    """An identifier of the master key, which reveals nothing about the key itself."""
    key_ring: str = ""
    """The database with the keys that the master key opens."""
    num_project_keys: int = 0
    num_subject_keys: int = 0
    """The number of keys of persons whose data are stored."""
    num_objects: int = 0
    """The number of encrypted responses, files, model files and providers' keys."""
    num_plain: int = 0
    """The number of objects that an earlier version of LLMOS stored and that aren't encrypted yet."""


class RotationDescription(Description, frozen=True, kw_only=True):
    project: str | None = None
    """The project whose key was rotated; null for the master key."""
    master_key_id: str = ""
    num_keys: int = 0
    """The number of keys that were encrypted again: keys of projects, or of a project's objects. No data were
    rewritten."""


class EncryptedModelsDescription(Description, frozen=True, kw_only=True):
    versions: list[str] = field(default_factory=list)
    """The Versions whose files are all encrypted now."""
    num_files: int = 0
    """The number of files that were encrypted by this command."""
    size_bytes: int = 0
    """The size of these files."""
